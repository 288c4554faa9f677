"""Dashboards for Grafana: its documented model as a JSON Schema, its own models of Python, and metrics that a running mainstay has."""

import json
import os
import pathlib
import re
import subprocess
import threading

import jsonschema
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from harness import Gateway, StandIn, call, eventually

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = os.environ["MAINSTAY_BIN"]
SCHEMA = json.loads((ROOT / "tests-peers/schemas/grafana-dashboard.json").read_text())

CONFIG = """
service: shop.example
environment: demo
backends: {{ primary: {{ url: "{backend}", protocol: http, limit: {{ fixed: {{ max: 1 }} }} }} }}
routes:
  - name: score
    path: /score
    deadline: 5s
    queue: {{ max: 1, wait: 1ms }}
    shed_before: 4
    prediction: {{ pointer: /p, task: binary, threshold: 0.5 }}
    ladder: [{{ level: 0, backend: primary }}, {{ level: 4, respond: {{ body: {{ p: 0.5 }} }} }}]
drift: {{ names: {{ score: {{ route: score, of: prediction }} }} }}
slos:
  - availability: {{ target: 99.9%, name: "avail.all" }}
  - latency: {{ p99: 200ms, name: speed }}
  - freshness: {{ model: 7d, name: fresh }}
chaos:
  lease: 2s
  experiments:
    - {{ name: outage, hypothesis: Everybody is answered, route: score, fault: {{ model_error: {{}} }}, blast: full, cohort: {{ share: 50% }}, lead_in: 2s, duration: 5m, recovery: 20s }}
"""


def export(form: str, config: pathlib.Path) -> str:
    command = [BINARY, "slo", "export", f"--{form}", "--config", str(config)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout


@pytest.fixture(params=["full", "without objectives", "odd names"])
def dashboard(request, tmp_path) -> dict:
    path = tmp_path / "mainstay.yaml"
    text = CONFIG.format(backend="http://127.0.0.1:1")
    if request.param == "full":
        path = ROOT / "examples/config/full.yaml"
    elif request.param == "without objectives":
        path.write_text(re.sub(r"slos:\n(  .*\n)+", "", text))
    else:
        path.write_text(text)
    return json.loads(export("grafana", path))


def test_a_dashboard_is_what_grafana_documents(dashboard):
    jsonschema.validate(dashboard, SCHEMA)
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    # No two panels lie over one another, and none sticks out.
    taken = set()
    for place in (panel["gridPos"] for panel in dashboard["panels"]):
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, place
        taken |= cells


def test_the_schema_refuses_what_is_wrong(dashboard):
    def broken(change):
        copy = json.loads(json.dumps(dashboard))
        change(copy)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(copy, SCHEMA)

    broken(lambda it: it.pop("panels"))
    broken(lambda it: it.update(uid="a b"))
    broken(lambda it: it["panels"][-1].update(titel="x"))
    broken(lambda it: it["panels"][-1]["fieldConfig"].pop("overrides"))
    broken(lambda it: it["panels"][-1]["targets"][0].update(expr=1))


def kept(ours, theirs, place="dashboard"):
    """Everything that stands in ours stands in theirs."""
    if isinstance(ours, dict):
        for key, value in ours.items():
            assert key in theirs, f"{place}.{key} is no field of Grafana's"
            kept(value, theirs[key], f"{place}.{key}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), place
        for at, (one, other) in enumerate(zip(ours, theirs)):
            kept(one, other, f"{place}[{at}]")
    else:
        assert ours == theirs, place


def test_grafanas_own_models_keep_every_field(dashboard):
    register_default_plugins()

    def through(document):
        return json.loads(json.dumps(Dashboard.from_json(document), cls=JSONEncoder))

    kept(dashboard, through(dashboard))
    dashboard["panels"][-1]["titel"] = "x"
    with pytest.raises(AssertionError, match="titel"):
        kept(dashboard, through(dashboard))


def expressions(dashboard: dict) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def test_prometheus_reads_every_expression(dashboard, tmp_path):
    rules = [{"record": f"e{at}", "expr": it.replace("$__rate_interval", "5m")} for at, it in enumerate(expressions(dashboard))]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0 and f"{len(rules)} rules" in checked.stdout, checked.stdout + checked.stderr


def metrics_of(text: str) -> set[str]:
    return set(re.findall(r"\bmainstay_[a-z0-9_]+", text))


def test_every_metric_that_is_asked_for_exists(tmp_path):
    slow = threading.Event()

    def answer(request):
        slow.wait(0.3)
        request.reply(200, {"p": 0.9})

    with StandIn(answer) as backend, Gateway(tmp_path, CONFIG.format(backend=backend.url)) as gateway:
        config = tmp_path / "mainstay.yaml"
        rules = yaml.safe_load(export("prometheus", config))
        asked = metrics_of(" ".join(expressions(json.loads(export("grafana", config)))))
        asked |= metrics_of(" ".join(rule["expr"] for group in rules["groups"] for rule in group["rules"]))
        assert len(asked) >= 15, asked
        run = [BINARY, "--url", gateway.admin]
        ended = threading.Event()

        def drive():
            while not ended.is_set():
                call(f"{gateway.url}/score", {"x": 1})

        callers = [threading.Thread(target=drive) for _ in range(4)]
        for caller in callers:
            caller.start()
        try:
            seen = set()

            def missing():
                page = call(f"{gateway.admin}/metrics").body.decode()
                seen.update(re.split(r"[{ ]", line)[0] for line in page.splitlines() if not line.startswith("#"))
                return asked - seen

            def wait_for_all_but(names):
                try:
                    eventually(lambda: missing() <= names, 60)
                except AssertionError:
                    raise AssertionError(f"not in /metrics: {missing() - names}") from None

            # No experiment begins while an incident is open, and one may end it.
            begin = [*run, "chaos", "run", "outage", "--detach", "--yes"]
            begun = subprocess.run(begin, capture_output=True, text=True, timeout=60)
            assert begun.returncode == 0, begun.stderr
            wait_for_all_but({"mainstay_incidents_open"})
            opened = [*run, "incident", "open", "answers are odd", "--severity", "sev2"]
            subprocess.run(opened, check=True, stdout=subprocess.DEVNULL, timeout=60)
            wait_for_all_but(set())
        finally:
            ended.set()
            for caller in callers:
                caller.join()
