"""Experiments in the Chaos Toolkit's own hands: validated, run, killed."""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest

from harness import Gateway, Process, StandIn, call, eventually
from pages import Reader

CHAOS = pathlib.Path(sys.executable).with_name("chaos")
LEASE_S = 2
SLACK_S = 20
"""What a busy machine may take besides."""

CONFIG = """
service: score
environment: demo
backends: {{ primary: {{ url: "{backend}", protocol: http, breaker: {{ open: 1s, open_max: 1s }} }} }}
routes:
  - {{ name: score, path: /score, deadline: 2s, hysteresis: {{ window: 1s, down: 2, up: 1s }}, ladder: [{{ level: 0, backend: primary }}, {{ level: 4, respond: {{ body: {{ p: 0.5 }} }} }}] }}
chaos:
  lease: {lease}s
  experiments:
    - name: outage
      title: The model costs $$ and fails
      hypothesis: Everybody is answered
      route: score
      fault: {{ model_error: {{ status: 503 }} }}
      blast: full
      cohort: {{ share: 50% }}
      lead_in: 2s
      duration: 12s
      recovery: 20s
      margin: {{ p99: 100 }}
    - {{ name: score-primary-model-failure, hypothesis: Everybody is answered, route: score, fault: {{ model_error: {{}} }}, blast: full, cohort: {{ share: 50% }}, lead_in: 2s, duration: 12s, recovery: 20s, margin: {{ p99: 100 }} }}
    # Nothing but the silence of whoever holds it ends this one: late answers open no breaker, and so no incident.
    - {{ name: long-delay, hypothesis: Everybody is answered, route: score, fault: {{ model_latency: {{ fixed: 50ms }} }}, blast: full, cohort: {{ share: 50% }}, lead_in: 2s, duration: 5m, recovery: 20s, margin: {{ p99: 100 }} }}
"""


class Traffic:
    """Requests all the time, so that there is something to see."""

    WORKERS = 4

    def __init__(self, url: str):
        self.levels = []
        self.stopped = threading.Event()
        self.pool = concurrent.futures.ThreadPoolExecutor(self.WORKERS)
        for _ in range(self.WORKERS):
            self.pool.submit(self.drive, url)

    def drive(self, url: str):
        while not self.stopped.wait(0.02):
            answer = call(url, {"x": 1})
            self.levels.append(answer.level if answer.status == 200 else None)

    def stop(self):
        self.stopped.set()
        self.pool.shutdown()


@pytest.fixture
def service(tmp_path):
    with StandIn(lambda request: request.reply(200, {"p": 0.9})) as backend:
        with Gateway(tmp_path, CONFIG.format(backend=backend.url, lease=LEASE_S)) as gateway:
            traffic = Traffic(f"{gateway.url}/score")
            try:
                eventually(lambda: len(traffic.levels) > 50)
                yield gateway, traffic
            finally:
                traffic.stop()


def mainstay(gateway, *words, status=0):
    command = [os.environ["MAINSTAY_BIN"], "--url", gateway.admin, "chaos", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def exported(gateway, directory, name) -> pathlib.Path:
    path = directory / f"{name}.json"
    mainstay(gateway, "export", "--chaostoolkit", name, "--out", path)
    return path


def chaos(directory, *words, status=0):
    done = subprocess.run([CHAOS, *map(str, words)], cwd=directory, capture_output=True, text=True, timeout=240)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_page_does_what_it_says(service, tmp_path):
    """The commands of docs/chaos.md, with an experiment of seconds in place of the plan's own."""
    gateway, _ = service
    with Reader("docs/chaos.md", tmp_path / "page") as reader:
        reader.ports = {8090: int(gateway.admin.rsplit(":", 1)[1])}
        reader.follow(lambda block: block.hint("run by ") == "tests-peers/test_chaostoolkit.py")
    assert last_run(gateway)["experiment"] == "score-primary-model-failure"
    assert "route: score" in (tmp_path / "page/experiment.yaml").read_text()


def last_run(gateway):
    runs = call(f"{gateway.admin}/api/v1/experiments?limit=1").json()["runs"]
    return runs[0] if runs else None


def injected(gateway) -> float:
    return gateway.metric("mainstay_faults_injected_total")


def test_an_exported_experiment_is_valid_and_runs_to_its_verdict(service, tmp_path):
    gateway, traffic = service
    path = exported(gateway, tmp_path, "outage")
    chaos(tmp_path, "validate", path)
    chaos(tmp_path, "run", path)
    journal = json.loads((tmp_path / "journal.json").read_text())
    assert journal["status"] == "completed" and not journal["deviated"]
    start = journal["run"][0]["output"]
    assert start["status"] == 201, start
    run = last_run(gateway)
    assert start["body"]["run"]["id"] == run["id"] and run["verdict"] in ("tolerated", "degraded"), run
    # Nobody went without an answer, and the fault was there: level 4 answered for the model.
    assert None not in traffic.levels and 4 in traffic.levels
    assert injected(gateway) > 0
    report = mainstay(gateway, "report", run["id"])
    assert run["verdict"] in report and "## Journal" in report
    assert "outage" in mainstay(gateway, "list")


def test_what_is_refused_deviates(service, tmp_path):
    gateway, _ = service
    path = exported(gateway, tmp_path, "outage")
    mainstay(gateway, "halt", "--reason", "nothing today")
    document = json.loads(path.read_text())
    # It does not have to wait for what never begins.
    document["method"] = document["method"][:1]
    path.write_text(json.dumps(document))
    chaos(tmp_path, "run", path, status=1)
    journal = json.loads((tmp_path / "journal.json").read_text())
    assert journal["deviated"] and journal["run"][0]["output"]["status"] == 422
    assert last_run(gateway) is None and injected(gateway) == 0
    assert "nothing today" in mainstay(gateway, "plan", "outage", status=1)
    mainstay(gateway, "resume", "--reason", "tomorrow")


def test_a_killed_toolkit_leaves_no_fault_behind(service, tmp_path):
    gateway, _ = service
    path = exported(gateway, tmp_path, "long-delay")
    hold = json.loads(path.read_text())["method"][0]["provider"]["arguments"]["hold_s"]
    with Process([CHAOS, "run", path], tmp_path / "chaos.log", cwd=tmp_path) as toolkit:
        eventually(lambda: injected(gateway) > 0, 60)
        # It goes on for longer than a hold: it is held.
        time.sleep(hold + 5)
        assert last_run(gateway)["phase"] == "injecting"
        toolkit.kill()
    killed = time.monotonic()
    run = eventually(lambda: (it := last_run(gateway)) and it["phase"] != "injecting" and it, hold + LEASE_S + SLACK_S)
    assert time.monotonic() - killed < hold + LEASE_S + SLACK_S
    assert run["stopped"] == "holder_lost", run
    # Workers hand their counts over five times a second.
    time.sleep(1)
    before = injected(gateway)
    time.sleep(2)
    assert injected(gateway) == before


def test_what_is_ours_comes_back_and_what_is_not_is_named(service, tmp_path):
    gateway, _ = service
    path = exported(gateway, tmp_path, "outage")
    back = tmp_path / "outage.yaml"
    mainstay(gateway, "import", path, "--out", back)
    known = call(f"{gateway.admin}/api/v1/experiments/catalogue").json()["experiments"]
    plan = next(it["plan"] for it in known if it["experiment"]["name"] == "outage")
    # The same plan, whichever way it went.
    assert plan in mainstay(gateway, "plan", back)
    document = json.loads(path.read_text())
    document["method"].append({"type": "action", "name": "drop-tables", "provider": {"type": "process", "path": "psql"}})
    path.write_text(json.dumps(document))
    assert "drop-tables" in mainstay(gateway, "import", path, status=2)
