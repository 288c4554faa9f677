"""What the dashboard shows of models, training runs, drift and quality, with data; and names from outside, as long as they may be."""

import re
import urllib.parse

import pytest

from browser import HOSTILE, LIMIT_S, LONG, TOKENS, Browser, Service, Traffic
from harness import StandIn, call, eventually

CONFIG = """
service: score
environment: demo
admin:
  listen: 127.0.0.1:{admin}
  tokens:
    - {{ token: env:ACTS, role: operator, name: olga }}
    - {{ token: env:LOOKS, role: viewer, name: vera }}
backends: {{ primary: {{ url: "{backend}", protocol: http }} }}
routes:
  - name: score
    path: /score
    deadline: 2s
    prediction: {{ pointer: /p, task: binary, threshold: 0.5 }}
    ladder: [{{ level: 0, backend: primary }}, {{ level: 4, respond: {{ body: {{ p: 0.5 }} }} }}]
slos:
  - availability: {{ target: 99%, window: 1d, name: "{name}" }}
labels: {{ share: 100%, keep: 1d }}
drift:
  window: {{ values: 200, time: 10s }}
  names:
    score: {{ route: score, of: prediction, learn: 1000 }}
    amount: {{ route: score, request: /x, learn: 1000 }}
gamedays: {{ scenarios: [day.md] }}
chaos:
  experiments:
    - {{ name: slow, title: The model is slow, hypothesis: Everybody is answered, route: score, fault: {{ model_latency: {{ fixed: 50ms }} }}, blast: full, cohort: {{ share: 50% }}, lead_in: 2s, duration: 5m, recovery: 20s }}
"""

SCENARIO = """---
name: slow-model
purpose: Learn who notices.
criteria:
  - { name: Nobody is left, holds: "unanswered == 0" }
---
# The model is slow

## It takes longer

```yaml
experiment: slow
questions: [Who is told?]
criteria:
  - { name: Everybody is answered, holds: "unanswered == 0" }
```
"""

LEARN_LIMIT_S = 180
"""A thousand values are learned from, of some fifty a second on a busy machine."""

LONGEST = "<b>" + "n" * 1_021
"""The longest name of a model, a version or a run."""


class Score:
    """Answers of a model that another begins to give."""

    def __init__(self):
        self.moved = False
        self.count = 0

    def __call__(self, request):
        self.count += 1
        request.reply(200, {"p": (0.2 if self.moved else 0.9) + 0.001 * (self.count % 90)})


def version(service, model, version, gates="passed", **more):
    body = {"digest": f"sha256:{version[:64]}", "gates": gates, "metrics": {"accuracy": 0.97, "auc": 0.99},
            "data_max_event_time": "2026-03-01T06:00:00Z", "lineage": {"run": "RUN-1"}, **more}
    quoted = [urllib.parse.quote(it, safe="") for it in (model, version)]
    return put(service, f"/api/v1/models/{quoted[0]}/versions/{quoted[1]}", body)


def run(service, identity, state, **more):
    curves = {"loss": [[step, 1 / (1 + step / 50)] for step in range(0, 1000, 10)],
              "accuracy": [[step, 1 - 1 / (2 + step / 20)] for step in range(0, 1000, 10)]}
    body = {"name": "digits", "revision": 1, "state": state, "started": "2026-03-01T11:00:00Z", "step": 990, "total": 1000,
            "attempts": 2, "goodput": 0.93, "metrics": {"loss": 0.05}, "status": {"curves": curves}, **more}
    return put(service, f"/api/v1/runs/{urllib.parse.quote(identity, safe='')}", body)


def put(service, path, body):
    return call(f"{service.admin}{path}", body, {"authorization": f"Bearer {TOKENS['ACTS']}"}, method="PUT")


@pytest.fixture(scope="module")
def score():
    return Score()


@pytest.fixture(scope="module")
def service(tmp_path_factory, score):
    directory = tmp_path_factory.mktemp("dashboard-data")
    (directory / "day.md").write_text(SCENARIO)
    with StandIn(score) as backend:
        with Service(directory, CONFIG, backend=backend.url, name="objective-" + "o" * 54) as service:
            yield service


@pytest.fixture
def browser(service):
    with Browser() as browser:
        yield browser
        assert browser.console() == []
        foreign = [url for url in browser.addresses() if not url.startswith(service.admin)]
        assert foreign == [], "something was asked of another machine"


def test_drift_shows_side_by_side_where_it_comes_from_and_leads_to_requests(service, score, browser):
    callers = [Traffic(service, every_s=0.01) for _ in range(4)]
    try:
        monitor = lambda: service.api("/api/v1/drift/score")
        eventually(lambda: monitor().get("reference"), LEARN_LIMIT_S, 0.5)
        score.moved = True
        eventually(lambda: monitor()["status"] in ("drift_detected", "alert") and monitor()["window"]["bins"], LIMIT_S, 0.5)
    finally:
        for caller in callers:
            caller.stop()
    for n in range(40):
        call(f"{service.url}/score", {"x": n}, {"x-request-id": f"labelled-{n}"})
        service.api("/api/v1/labels", {"request_id": f"labelled-{n}", "label": n % 2})
    browser.log_in(service).open(f"{service.admin}/quality").shows("What moved most").shows("Quality of predictions")
    eventually(lambda: service.api("/api/v1/quality")["routes"][0]["labelled"] >= 40, LIMIT_S)
    browser.open(f"{service.admin}/quality").shows("recall").shoot("quality-data")
    browser.follow("score").shows("Side by side").shows("What moved").shows("Where it comes from").shows("backend")
    assert re.search(r"Compared with 1,?000 values", browser.text()), browser.text()
    assert len(browser.driver.find_elements("css selector", "svg rect.bar")) >= 4
    browser.shoot("drift-data")
    # From what moved to a request that it was seen in.
    link = browser.read(lambda: browser.one("td a[href^='/explore?id=']").get_attribute("href"))
    browser.open(link).check()
    assert "Answered by" in browser.text() or "no such request" in browser.text().lower(), browser.text()


def test_a_champion_is_made_and_unmade(service, browser):
    assert run(service, "RUN-1", "succeeded").status == 200
    assert run(service, "RUN-2", "failed", reason="oom").status == 200
    for number, gates in (("1", "passed"), ("2", "passed"), ("3", "failed")):
        more = {"gate_results": [{"gate": "accuracy >= 0.98", "passed": False}]} if gates == "failed" else {}
        assert version(service, "digits", number, gates, **more).status in (200, 201)
    browser.log_in(service).open(f"{service.admin}/models").shows("RUN-2").shows("oom").shoot("models-data")
    browser.follow("RUN-1").shows("Curves").shows("loss").shoot("run-data")
    assert len(browser.driver.find_elements("css selector", "svg path.line")) == 2
    browser.open(f"{service.admin}/models/digits").shows("Champion: none")
    champion = lambda: service.api("/api/v1/models/digits").get("champion")

    def promote(number, reason):
        form = f"//tr[th[starts-with(normalize-space(), '{number}')]]"
        browser.open(f"{service.admin}/models/digits").by(f"{form}//summary")
        browser.by(f"{form}//input[@name='reason']")
        browser.type(reason)
        return browser.by(f"{form}//button[normalize-space()='Promote']")

    promote("1", "the first").shows("It is the champion")
    assert champion() == "1"
    promote("2", HOSTILE).shows("Champion: 2")
    browser.shoot("model-data")
    browser.open(f"{service.admin}/models/digits").shows("The way back").fill("#back", "worse").press("Go back")
    browser.shows("The earlier champion is the champion again").shows("Champion: 1")
    assert champion() == "1" and browser.driver.title == "Model digits · mainstay"
    browser.press("Log out").log_in(service, "LOOKS").open(f"{service.admin}/models/digits").shows("needs a token with the role")
    assert browser.driver.find_elements("css selector", "main form[method=post]") == []


def test_a_version_that_failed_its_gates_needs_somebody_who_says_why(service):
    version(service, "gated", "1", "failed")
    with Browser() as browser:
        browser.log_in(service).open(f"{service.admin}/models/gated").unfold("Make it the champion").press("Promote")
        browser.shows("the gates of version `1` failed").check()
        browser.open(f"{service.admin}/models/gated").unfold("Make it the champion")
        browser.pick("[name=force]", "yes").press("Promote").shows("say why")
        assert service.api("/api/v1/models/gated").get("champion") is None
        browser.open(f"{service.admin}/models/gated").unfold("Make it the champion").pick("[name=force]", "yes")
        browser.fill("main [name=reason]", "it mends the outage").press("Promote").shows("Champion: 1")


def test_names_as_long_as_they_may_be_are_shown_cut_and_longer_ones_are_refused(service, browser):
    assert version(service, LONG, "1").status == 422
    assert version(service, "digits", LONG).status == 422
    assert run(service, LONG, "running").status == 422
    assert run(service, "RUN-3", "running", name=LONG).status == 422
    assert version(service, LONGEST, LONGEST, lineage={"run": LONG}).status == 201
    assert run(service, LONGEST, "running", name="<b>" + "r" * 190, reason=LONG, metrics={LONG: 1.0},
               status={"curves": {LONG: [[0, 1], [9, 2]]}}).status == 200
    quoted = urllib.parse.quote(LONGEST, safe="")
    day = service.api("/api/v1/gamedays", {"name": "slow-model", "mode": "tabletop"})["id"]
    said = f"/api/v1/gamedays/{day}/answers"
    for text in (HOSTILE * 10, LONG[:2_000]):
        service.api(said, {"answers": [{"question": text, "text": text, "by": HOSTILE}]})
    assert put(service, said, {"answers": [{"text": LONG}]}).status >= 400
    call(f"{service.url}/score", {"x": LONG}, {"x-request-id": LONG[:128]})
    browser.log_in(service)
    pages = {"/models": "nnn", f"/models/{quoted}": "Champion: none", f"/runs/{quoted}": "Curves", f"/gamedays/{day}": "What was said",
             "/explore": "Requests", "/quality": "score", "/slos": "objective-", "/": "Routes", "/routes/score": "Ladder"}
    for path, words in pages.items():
        for width in (1440, 390):
            metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False}
            browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            browser.open(f"{service.admin}{path}").shows(words)
            assert not browser.is_wide(), (path[:80], width)
        browser.check()
        assert "\u202e" not in browser.text() and browser.driver.title != "taken", path[:80]
        size = browser.driver.execute_script("return performance.getEntriesByType('navigation')[0].decodedBodySize")
        assert 0 < size <= 50 << 10, (path[:80], size)
    browser.open(f"{service.admin}/models").shoot("models-long")
    browser.open(f"{service.admin}/models/{quoted}").shoot("model-long")
    browser.open(f"{service.admin}/gamedays/{day}").shoot("gameday-long")
