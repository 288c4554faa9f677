"""Prometheus and its promtool: the rules that are exported, the burn of a replay, and Prometheus as a source."""

import json
import math
import os
import pathlib
import random
import subprocess
import textwrap

import pytest

from harness import Process, call, free_port

ROOT = pathlib.Path(__file__).resolve().parent.parent
MINUTE, HOUR, DAY = 60, 3600, 86400

CONFIG = """
service: shop
routes:
  - { name: r, path: /x, deadline: 1s, ladder: [{ level: 4, respond: { body: {} } }] }
slos:
  - availability: { target: 99.9%, name: avail }
  - latency: { p99: 200ms, name: speed }
  - quality: { metric: precision, baseline: 0.9, name: right }
  - freshness: { model: 7d, name: fresh }
  - availability: { target: 99%, name: month, window: { calendar: month, zone: Europe/Berlin } }
  - availability:
      name: ledger
      target: 99%
      source: { prometheus: "http://127.0.0.1:1", bad: 'sum(increase(slow_total[$window]))', total: 'all_total' }
"""


def mainstay(*arguments) -> str:
    command = [os.environ["MAINSTAY_BIN"], *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout


def promtool(*arguments) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def rules(tmp_path):
    config = tmp_path / "mainstay.yaml"
    config.write_text(CONFIG)
    path = tmp_path / "rules.yml"
    mainstay("slo", "export", "--prometheus", "--out", path, "--config", config)
    return path


def test_exported_rules_are_accepted(rules, tmp_path):
    assert "SUCCESS" in promtool("check", "rules", "--lint-fatal", rules)
    full = tmp_path / "full.yml"
    mainstay("slo", "export", "--prometheus", "--out", full, "--config", ROOT / "examples/config/full.yaml")
    assert "SUCCESS" in promtool("check", "rules", "--lint-fatal", full)


def alert(severity: str, slo: str) -> dict:
    labels = {"severity": severity, "sloth_severity": severity, "sloth_service": "shop", "sloth_slo": slo, "sloth_id": f"shop-{slo}"}
    return labels


def firing(at: str, severities) -> dict:
    """What `promtool test rules` must find firing for `avail`."""
    about = "99.9 % of requests answered"
    summary = "avail of shop burns its error budget too fast"
    expected = [
        {
            "exp_labels": alert(severity, "avail"),
            "exp_annotations": {"summary": summary, "title": f"({severity}) shop avail", "description": about},
        }
        for severity in severities
    ]
    return {"eval_time": at, "alertname": "MainstayErrorBudgetBurn", "exp_alerts": expected}


def series(good: str, bad: str):
    return [
        {"series": 'mainstay_slo_good_total{slo="avail",instance="a"}', "values": good},
        {"series": 'mainstay_slo_bad_total{slo="avail",instance="a"}', "values": bad},
    ]


def test_rules_count_events_and_fire_when_they_should(rules, tmp_path):
    ids = {"sloth_id": "shop-avail", "sloth_service": "shop", "sloth_slo": "avail"}

    def sample(name: str, value: float, window: str | None = None) -> dict:
        labels = {**ids, **({"sloth_window": window} if window else {})}
        written = ", ".join(f'{key}="{text}"' for key, text in sorted(labels.items()))
        return {"labels": f"{name}{{{written}}}", "value": value}

    def ratio(window: str, value: float, at: str) -> dict:
        name = f"slo:sli_error:ratio_rate{window}"
        return {"expr": f'round({name}{{sloth_slo="avail"}} * 1e6)', "eval_time": at, "exp_samples": [_bare(sample(name, round(value * 1e6), window))]}

    tests = [
        # 1 % bad is a burn of 10: above 6 over six hours, below 14.4 over one.
        {"interval": "1m", "input_series": series("0+990x1000", "0+10x1000"),
         "promql_expr_test": [ratio("5m", 0.01, "12h"), ratio("1h", 0.01, "12h"), ratio("30d", 0.01, "12h")],
         "alert_rule_test": [firing("12h", ["page", "ticket"])]},
        # Exactly at the objective nobody is called.
        {"interval": "1m", "input_series": series("0+999x1000", "0+1x1000"), "alert_rule_test": [firing("12h", [])]},
        # One bad request of forty is chance.
        {"interval": "1m", "input_series": series("0+1x39 39x60", "0x20 1x80"), "alert_rule_test": [firing("45m", [])]},
        # Without traffic there is no ratio, and no alert.
        {"interval": "1m", "input_series": series("5x100", "0x100"),
         "promql_expr_test": [{"expr": 'slo:sli_error:ratio_rate1h{sloth_slo="avail"}', "eval_time": "90m", "exp_samples": []}],
         "alert_rule_test": [firing("90m", [])]},
        # A counter that starts again is still counted.
        {"interval": "1m", "input_series": series("0+990x300 0+990x300", "0+10x300 0+10x300"),
         "promql_expr_test": [ratio("1h", 0.01, "5h30m")]},
    ]
    file = tmp_path / "tests.json"
    # JSON is YAML.
    file.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}))
    assert "SUCCESS" in promtool("test", "rules", file)


def _bare(sample: dict) -> dict:
    """`round()` drops the name."""
    return {**sample, "labels": sample["labels"][sample["labels"].index("{"):]}


class Prometheus(Process):
    """A Prometheus on a free loopback port over blocks that were made before."""

    def __init__(self, directory: pathlib.Path, data: pathlib.Path):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = directory / "prometheus.yml"
        config.write_text("global: {}\n")
        command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={data}", f"--web.listen-address=127.0.0.1:{port}",
                   "--storage.tsdb.retention.time=10y"]
        super().__init__(command, directory / "prometheus.log", cwd=directory)
        self.wait_until(f"{self.url}/-/ready")

    def value(self, expression: str, at: int) -> float | None:
        from urllib.parse import urlencode

        answer = call(f"{self.url}/api/v1/query?{urlencode({'query': expression, 'time': at})}").json()
        assert answer["status"] == "success", answer
        result = answer["data"]["result"]
        return float(result[0]["value"][1]) if result else None


END = 1_790_000_000 // HOUR * HOUR
"""When the replay ends: a whole hour, so that buckets and scrapes end there too."""

DAYS = 4


def stream():
    """Good and bad events of each 10 s: days and nights, an outage, a trickle of errors."""
    rng = random.Random(7)
    for at in range(END - DAYS * DAY, END, 10):
        busy = 6 + 5 * math.sin(at / DAY * 2 * math.pi)
        total = max(0, int(rng.gauss(10 * busy, 4)))
        share = 0.3 if END - 5 * HOUR < at < END - 4 * HOUR else 0.004 if at > END - HOUR else 0.0005
        bad = sum(rng.random() < share for _ in range(total))
        yield at, total - bad, bad


def write_openmetrics(path: pathlib.Path, events):
    """Counters as they are scraped each 10 s: a sample holds all events before it."""
    good_lines, bad_lines, good, bad = [], [], 0, 0
    for at, more_good, more_bad in events:
        good_lines.append(f'mainstay_slo_good_total{{slo="replay_availability"}} {good} {at}\n')
        bad_lines.append(f'mainstay_slo_bad_total{{slo="replay_availability"}} {bad} {at}\n')
        good, bad = good + more_good, bad + more_bad
    good_lines.append(f'mainstay_slo_good_total{{slo="replay_availability"}} {good} {END}\n')
    bad_lines.append(f'mainstay_slo_bad_total{{slo="replay_availability"}} {bad} {END}\n')
    head = "# TYPE mainstay_slo_{0} counter\n"
    path.write_text(head.format("good") + "".join(good_lines) + head.format("bad") + "".join(bad_lines) + "# EOF\n")


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("replay")
    events = list(stream())
    write_openmetrics(directory / "events.txt", events)
    promtool("tsdb", "create-blocks-from", "openmetrics", directory / "events.txt", directory / "data")
    with Prometheus(directory, directory / "data") as prometheus:
        yield events, prometheus


def test_a_replay_burns_the_same_in_prometheus_and_in_mainstay(replayed, tmp_path):
    events, prometheus = replayed
    window = 30 * DAY
    text = "".join(f"{at} {good} {bad}\n" for at, good, bad in events)
    # The last moment that all events lie before.
    command = [os.environ["SLO_REPLAY_BIN"], "0.999", str(window), str(END)]
    done = subprocess.run(command, input=text, check=True, stdout=subprocess.PIPE, text=True, timeout=120)
    answer = json.loads(done.stdout)
    assert (answer["good"], answer["bad"]) == (sum(good for _, good, _ in events), sum(bad for _, _, bad in events))
    config = tmp_path / "mainstay.yaml"
    config.write_text(textwrap.dedent("""
        service: replay
        routes: [{ name: r, path: /x, deadline: 1s, ladder: [{ level: 4, respond: { body: {} } }] }]
        slos: [{ availability: { target: 99.9% } }]
    """))
    rules = mainstay("slo", "export", "--prometheus", "--config", config)
    compared = 0
    for seconds, burn in answer["burn"].items():
        seconds = int(seconds)
        if seconds > DAYS * DAY:
            continue
        theirs = prometheus.value(expression(rules, seconds), END)
        assert theirs is not None, seconds
        # Windows of mainstay begin with the bucket that holds their edge: 10 s within an hour, 1 min within a day, then 1 h.
        bucket = 10 if seconds <= HOUR else MINUTE if seconds <= DAY else HOUR
        low, high = _bounds(events, seconds, bucket)
        assert low <= burn * 0.001 <= high, (seconds, burn)
        assert theirs == pytest.approx(burn * 0.001, rel=2 * bucket / seconds + 1e-6), seconds
        compared += 1
    assert compared >= 6, answer


def expression(rules: str, seconds: int) -> str:
    """The expression of the recording rule for a window."""
    name = {300: "5m", 1800: "30m", 3600: "1h", 7200: "2h", 21600: "6h", 86400: "1d", 259200: "3d"}[seconds]
    rule = rules.split(f"record: slo:sli_error:ratio_rate{name}\n")[1].split("labels:")[0]
    return textwrap.dedent(rule.split("|-\n")[1])


def _bounds(events, seconds: int, bucket: int):
    def share(start):
        good = sum(good for at, good, _ in events if at >= start)
        bad = sum(bad for at, _, bad in events if at >= start)
        return bad / (good + bad)

    shares = [share(END - seconds - slack) for slack in (0, bucket)]
    return min(shares) - 1e-12, max(shares) + 1e-12


def ask(url: str, side: str, part: str, total: str, window: int = 3600) -> dict:
    command = [os.environ["PROMETHEUS_SOURCE_BIN"], url, side, part, total, str(window), str(END)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout)


def test_prometheus_is_a_source(replayed):
    events, prometheus = replayed
    good = sum(good for at, good, _ in events if at >= END - HOUR)
    bad = sum(bad for at, _, bad in events if at >= END - HOUR)
    total = "sum(increase(mainstay_slo_good_total[$window])) + sum(increase(mainstay_slo_bad_total[$window]))"
    told = ask(prometheus.url, "bad", "sum(increase(mainstay_slo_bad_total[$window]))", total)
    assert told["reading"] == "events" and told["total"] == pytest.approx(good + bad, rel=0.01)
    assert told["good"] == pytest.approx(good, rel=0.01)
    # Bare counters are subtracted, to the event.
    told = ask(prometheus.url, "bad", "mainstay_slo_bad_total", "mainstay_slo_good_total")
    assert told == {"reading": "events", "good": good - bad, "total": good}
    assert ask(prometheus.url, "good", "nothing_total", "nothing_total") == {"reading": "no_signal"}
    assert ask(prometheus.url, "good", "vector(0)", "vector(0)") == {"reading": "no_traffic"}
    refused = ask(prometheus.url, "good", "sum(", "sum(")
    assert refused["reading"] == "failed" and "400" in refused["why"]
    assert ask(f"http://127.0.0.1:{free_port()}", "good", "a", "b")["reading"] == "failed"
