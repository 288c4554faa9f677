"""The dashboard in a real browser: a whole incident, a game day, what is hostile, what is lost; checked by axe-core."""

import json
import re
import time

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from browser import HOSTILE, LIMIT_S, LONG, TOKENS, Browser, Service, Traffic
from harness import StandIn, call, eventually

FAILS = "what the model cannot read"

CONFIG = """
service: score
environment: demo
admin:
  listen: 127.0.0.1:{admin}
  tokens:
    - {{ token: env:ACTS, role: operator, name: olga }}
    - {{ token: env:LOOKS, role: viewer, name: vera }}
backends: {{ primary: {{ url: "{backend}", protocol: http, breaker: {{ open: 1s, open_max: 1s }} }} }}
routes:
  - name: score
    path: /score
    deadline: 2s
    hysteresis: {{ window: 1s, down: 2, up: 1s }}
    ladder:
      - {{ level: 0, backend: primary }}
      - {{ level: 2, backend: primary, timeout: 500ms, quality_impact: none }}
      - {{ level: 4, respond: {{ body: {{ p: 0.5 }} }} }}
slos:
  - availability: {{ target: 99%, window: 1d }}
notify:
  hook: {{ webhook: {{ url: "{hook}", secret: env:HOOK }} }}
oncall:
  people: {{ ada: {{ channels: [hook] }} }}
  policies: {{ all: {{ steps: [{{ after: 0s, tell: [person:ada] }}] }} }}
incidents: {{ page: [sev1, sev2], escalation: all, group: 1s, hold: 1s, types: {{ serving_latency: {{ severity: sev2 }} }} }}
chaos:
  experiments:
    - {{ name: slow, title: The model is slow, hypothesis: Everybody is answered, route: score, fault: {{ model_latency: {{ fixed: 50ms }} }}, blast: full, cohort: {{ share: 50% }}, lead_in: 2s, duration: 5m, recovery: 20s }}
gamedays: {{ scenarios: [day.md] }}
"""

SCENARIO = """---
name: slow-model
purpose: Learn who notices that the model is slow.
criteria:
  - { name: Nobody is left, holds: "unanswered == 0" }
---
# The model is slow

## It takes longer

```yaml
experiment: slow
expect: [Nobody notices]
questions: [Who is told first?, How would we know?]
criteria:
  - { name: Everybody is answered, holds: "unanswered == 0" }
```
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    pages = []

    def hook(request):
        pages.append(request.document)
        request.reply(200, {})

    def answer(request):
        request.reply(503 if request.document == {"x": FAILS} else 200, {"p": 0.9})

    with StandIn(answer) as backend, StandIn(hook) as heard:
        directory = tmp_path_factory.mktemp("dashboard")
        (directory / "day.md").write_text(SCENARIO)
        with Service(directory, CONFIG, backend=backend.url, hook=heard.url) as service:
            service.pages = pages
            traffic = Traffic(service)
            yield service
            traffic.stop()


@pytest.fixture
def browser(service):
    with Browser() as browser:
        yield browser
        if not getattr(browser, "console_is_checked", False):
            assert browser.console() == []
        foreign = [url for url in browser.addresses() if not url.startswith(service.admin)]
        assert foreign == [], "something was asked of another machine"


PAGES = {
    "overview": "/", "routes": "/routes", "route": "/routes/score", "backends": "/backends", "features": "/features", "slos": "/slos", "slo": "/slos/score_availability", "quality": "/quality", "incidents": "/incidents",
    "experiments": "/experiments", "gamedays": "/gamedays", "models": "/models", "requests": "/explore",
}


def test_every_page_is_accessible_at_both_widths_and_in_both_schemes(service, browser):
    browser.open(f"{service.admin}/slos").shows("Log in").shoot("login")
    browser.log_in(service)
    for name, path in PAGES.items():
        browser.open(f"{service.admin}{path}")
        if name == "overview":
            browser.shows("score")
        browser.shoot(name)
    for name in ("quality", "models"):
        browser.open(f"{service.admin}{PAGES[name]}")
        assert re.search("Nothing is watched|No training run was reported", browser.text()), browser.text()


def test_an_incident_from_its_page_to_its_review(service, browser):
    alert = {"status": "firing", "labels": {"alertname": "Slow", "severity": "sev2", "incident_type": "serving_latency", "route": "score"},
             "annotations": {"summary": "The model is slow"}, "startsAt": "2026-03-01T12:00:00Z"}
    service.api("/api/v1/alerts", {"version": "4", "groupKey": "g", "status": "firing", "receiver": "r", "alerts": [alert]})
    page = eventually(lambda: service.pages and service.pages[-1], LIMIT_S)
    incident = re.search(r"AI-\d{8}-\d{4}", json.dumps(page)).group()
    browser.log_in(service)
    browser.shows(incident).follow(incident).shows("Runbook")
    browser.press("Take it").shows("You have it").shows("by olga")
    browser.unfold("Write a note").fill("#text", HOSTILE).press("Write the note").shows("It is on the timeline")
    assert "<script>document.title" in browser.text() and browser.driver.title != "taken"
    browser.press("score is held at level").shows("is being taken").shows("has effect")
    assert service.api("/api/v1/levels")["levels"][0]["pin"] is not None
    browser.shoot("incident")
    browser.press("Undo").shows("is being undone").shows("undone")
    eventually(lambda: service.api("/api/v1/levels")["levels"][0]["pin"] is None, LIMIT_S)
    browser.unfold("Write a note").pick("#status", "resolved")
    browser.fill("#reason", "It is over").press("Set").shows("It stands there now").shows("resolved")
    browser.unfold("Write what was found").fill("#root_cause", "A slow disk").fill("#item", "Buy a disk").fill("#owner", "ada")
    browser.by("//button[normalize-space()='Write']").shows("It is in the review").shows("A slow disk")
    browser.follow("The review").shows("This review is blameless").shows("A slow disk").shows("Buy a disk")
    assert browser.driver.find_elements(By.TAG_NAME, "script") == []
    browser.check()


def test_a_game_day_from_its_start_to_the_halt(service, browser):
    browser.log_in(service).open(f"{service.admin}/gamedays").press("Start").shows("Steps").shows("EXP-")
    browser.shows("Answers are written down once it is over")
    browser.shoot("gameday")
    day = browser.driver.current_url
    browser.follow("EXP-").shows("injecting")
    browser.shoot("experiment")
    browser.open(f"{service.admin}/").shows("experiments under way").shoot("overview-gameday")
    browser.open(f"{service.admin}/experiments").fill("#halt", "Enough").press("Halt every fault").shows("Faults are halted")
    browser.shows("Halted by olga").open(f"{service.admin}/").shows("Faults are halted: no experiment runs")
    browser.open(day).shows("aborted")
    browser.open(f"{service.admin}/experiments").fill("#resume", "It was seen").press("Let experiments begin again")
    browser.shows("Experiments may begin again")
    run = eventually(lambda: [run for run in service.api("/api/v1/experiments")["runs"] if "verdict" in run], LIMIT_S)[0]
    assert run["stopped"] == "halt" and run["verdict"] in ("aborted", "not_recovered"), run


def test_a_route_is_held_by_hand_and_let_go(service, browser):
    browser.log_in(service).follow("score").shows("Hold it by hand")
    browser.pick("#level", "2").fill("#for", "soon").press("Hold it there").shows("`for` is a number")
    browser.console_is_checked = True
    assert service.api("/api/v1/levels")["levels"][0]["pin"] is None
    browser.open(f"{service.admin}/routes/score").pick("#level", "2").fill("#for", "30m").fill("#reason", HOSTILE)
    browser.press("Hold it there").shows("The route is held there").shows("held by hand until")
    pin = service.api("/api/v1/levels")["levels"][0]["pin"]
    assert (pin["level"], pin["reason"].split(">")[0], browser.driver.title) == (2, "<script", "Route score · mainstay")
    browser.shoot("route-held")
    browser.open(f"{service.admin}/routes?held=yes").shows("1 of 1 routes").follow("score")
    browser.press("Let it follow its health").shows("The route follows its health again")
    assert service.api("/api/v1/levels")["levels"][0]["pin"] is None
    said = [line["message"] for line in browser.console()]
    assert all("status of 422" in it for it in said), said


def test_a_scenario_is_talked_through(service, browser):
    browser.log_in(service).open(f"{service.admin}/gamedays").press("Talk it through").shows("Who is told first?")
    browser.shows("Nobody notices").shows("Nothing was written down yet")
    browser.pick("#step", "slow").fill("#question", "Who is told first?").fill("#text", HOSTILE).press("Write it down")
    browser.shows("It is written down").shows("<script>document.title")
    browser.fill("#text", "Nobody at all").press("Write it down").shows("Nobody at all")
    browser.shoot("gameday-talked")
    assert browser.driver.title != "taken"
    identity = browser.driver.current_url.split("/")[-1].split("?")[0]
    answers = service.api(f"/api/v1/gamedays/{identity}")["answers"]
    assert [(it.get("step"), it["by"]) for it in answers] == [("slow", "olga"), (None, "olga")], answers
    browser.open(f"{service.admin}/gamedays").shows("talked through")


def test_lists_are_turned_and_filtered(service, browser):
    for n in range(60):
        service.api("/api/v1/incidents", {"title": f"Counted {n:02}", "severity": "sev4" if n % 20 else "sev3"})
    browser.log_in(service).open(f"{service.admin}/incidents?q=Counted").shows("Counted 59")
    assert "Counted 05" not in browser.text()
    browser.follow("Older").shows("Counted 05")
    assert "Counted 59" not in browser.text()
    # Those that are open have pages with numbers.
    browser.open(f"{service.admin}/incidents?status=open&q=Counted").shows("1 to 50 of 60").follow("Next")
    browser.shows("51 to 60 of 60").shows("Counted 05").follow("Back").shows("1 to 50 of 60")
    browser.open(f"{service.admin}/incidents").fill("[name=q]", "Counted").pick("[name=severity]", "sev3").press("Filter")
    browser.shows("Counted 40").shows("Counted 00")
    assert "Counted 41" not in browser.text() and "severity=sev3" in browser.driver.current_url
    browser.shoot("incidents-filtered")


def test_what_changes_shows_without_a_load_and_leaves_what_is_filled_in(service, browser):
    browser.log_in(service).open(f"{service.admin}/incidents")
    browser.driver.execute_script("window.sameDocument = true")
    made = service.api("/api/v1/incidents", {"title": "Seen by a person", "severity": "sev3"})
    identity = made["incident"]["id"]
    browser.shows(identity)
    assert browser.driver.execute_script("return window.sameDocument"), "the page was loaded again"
    browser.follow(identity).shows("Runbook").unfold("Write a note").fill("#text", "half a sentence")
    service.api(f"/api/v1/incidents/{identity}/notes", {"text": "from elsewhere"})
    time.sleep(7)
    assert browser.read(lambda: browser.one("#text").get_attribute("value")) == "half a sentence"
    browser.again(lambda: browser.one("#text").clear()).again(lambda: browser.one("h1").click())
    browser.shows("from elsewhere")


def test_from_a_spent_budget_to_the_request_behind_it(service, browser):
    browser.log_in(service).open(f"{service.admin}/slos").follow("score_availability").shows("Burn by window")
    for _ in range(20):
        call(f"{service.url}/score", {"x": FAILS})
    eventually(lambda: service.api("/api/v1/slos/score_availability")["bad"], LIMIT_S)
    browser.open(f"{service.admin}/slos/score_availability").shows("When it was consumed").shoot("slo-burnt")
    browser.by("(//td/a[.='Requests'])[1]").shows("These are the requests that were kept")
    assert "bad=yes" in browser.driver.current_url
    browser.by("(//tbody//td/a)[1]").shows("Answered by").check().shoot("request")


def test_hostile_words_and_long_names_are_text(service, browser):
    key = {"authorization": f"Bearer {TOKENS['ACTS']}"}
    for title in (HOSTILE, LONG[:200]):
        made = service.api("/api/v1/incidents", {"title": title, "severity": "sev3"})["incident"]["id"]
        # What is too long is refused in words, not cut behind somebody's back.
        for text in (HOSTILE * 5, LONG[:4_000], LONG):
            answer = call(f"{service.admin}/api/v1/incidents/{made}/notes", {"text": text}, key)
            assert answer.status < 300 or "at most" in answer.json()["detail"], answer.body
    refused = call(f"{service.admin}/api/v1/incidents", {"title": LONG, "severity": "sev3"}, key)
    assert refused.status < 300 or "characters" in refused.json()["detail"], refused.body
    browser.log_in(service).open(f"{service.admin}/incidents").shows("<script>document.title").check()
    assert browser.driver.title == "Incidents · mainstay"
    assert "\u202e" not in browser.text()
    for path in (f"/incidents/{made}", f"/routes/{LONG}", f"/routes?q={LONG}&level=<b>", f"/backends?health={LONG}", f"/models/{LONG}",
                 f"/runs/{LONG}", f"/gamedays/{LONG}", f"/experiments/{LONG}", f"/drift/{LONG}", f"/models?name={LONG}", f"/incidents?q={LONG}", f"/incidents/{LONG}", f"/slos/{LONG}", "/incidents?status=<b>", "/explore?from=<b>",
                 f"/explore?id={LONG}", "/slos?page=99999999999999999999"):
        browser.open(f"{service.admin}{path}")
        assert not browser.is_wide(), path
    # A page that is not there, and a question that cannot be read, are refused in the browser's own words too.
    browser.console_is_checked = True
    said = [line["message"] for line in browser.console()]
    assert all("status of 404" in it or "status of 400" in it for it in said), said


def test_a_viewer_sees_everything_and_can_do_nothing(service, browser):
    browser.log_in(service, "LOOKS")
    for path in PAGES.values():
        browser.open(f"{service.admin}{path}")
        buttons = browser.read(lambda: {button.text for button in browser.driver.find_elements(By.TAG_NAME, "button")})
        assert buttons <= {"Log out", "Filter"}, (path, buttons)
    browser.open(f"{service.admin}/experiments").shows("needs a token with the role")
    browser.press("Log out").shows("Token")
    browser.open(f"{service.admin}/").shows("Token")


def test_the_keyboard_reaches_everything(service, browser):
    browser.log_in(service).open(f"{service.admin}/")
    browser.type(Keys.TAB)
    assert browser.focused("textContent") == "Skip to the content"
    browser.type(Keys.ENTER)
    assert browser.focused("id") == "main"
    for _ in range(200):
        browser.type(Keys.TAB)
        if "/incidents" in (browser.focused("href") or ""):
            break
    else:
        raise AssertionError("no incident was reached")
    outline = browser.driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_what_has_the_focus_keeps_it_when_something_comes_before_it(service, browser):
    first = service.api("/api/v1/incidents", {"title": "Looked at", "severity": "sev3"})["incident"]["id"]
    browser.log_in(service).open(f"{service.admin}/incidents?q=Looked").shows(first)
    browser.driver.execute_script("(window.kept = document.querySelector(`main a[href$='${arguments[0]}']`)).focus()", first)
    second = service.api("/api/v1/incidents", {"title": "Looked at later", "severity": "sev3"})["incident"]["id"]
    browser.shows(second)
    assert browser.focused("href").endswith(first)
    assert browser.driver.execute_script("return document.activeElement === window.kept"), "the link was made anew"
    # Where it goes away, the focus stays near its place, and is not lost.
    service.api(f"/api/v1/incidents/{first}/status", {"status": "resolved", "reason": "It is over"})
    browser.open(f"{service.admin}/incidents?status=open&q=Looked").shows(second)
    browser.driver.execute_script("document.querySelector(`main a[href$='${arguments[0]}']`).focus()", second)
    service.api(f"/api/v1/incidents/{second}/status", {"status": "resolved", "reason": "It is over"})
    eventually(lambda: second not in browser.text(), LIMIT_S)
    assert browser.focused("tagName") != "BODY"


def test_every_page_works_without_scripts(service):
    with Browser(scripts=False) as browser:
        browser.log_in(service)
        for name, path in PAGES.items():
            browser.open(f"{service.admin}{path}")
            assert browser.read(lambda: browser.one("h1").text), name
        browser.open(f"{service.admin}/incidents").unfold("Open an incident").fill("#title", "Without a script")
        browser.press("Open").shows("The incident is open").press("Take it").shows("You have it")
        assert browser.console() == []


def test_a_lost_connection_and_an_ended_session_are_told(service, browser):
    browser.log_in(service).open(f"{service.admin}/")
    service.stop()
    browser.shows("The connection is lost")
    service.run()
    # Another process has another key: what the browser holds counts for nothing there.
    browser.shows("Your session has ended")
    browser.console_is_checked = True
    browser.again(lambda: browser.one("#connection a").click())
    browser.shows("Token").fill("#token", "wrong").press("Log in").shows("This token is not known")
    browser.check()
    browser.fill("#token", TOKENS["ACTS"]).press("Log in").shows("Overview")
    # A form of a session that has ended does nothing.
    browser.open(f"{service.admin}/experiments").fill("#halt", "x")
    browser.driver.delete_all_cookies()
    browser.press("Halt every fault").shows("Nothing was done")
    assert service.api("/api/v1/chaos/halt")["halted"] is False
