"""The dashboard in a real browser: a whole incident, a game day, what is hostile, what is lost; checked by axe-core.

Screenshots at 1440 and 390 pixels go to `DASHBOARD_SHOTS`, or to `target/dashboard` where it is not set."""

import json
import os
import pathlib
import re
import threading
import time

import axe_selenium_python
import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from harness import Gateway, Process, StandIn, call, eventually, free_port

SHOTS = pathlib.Path(os.environ.get("DASHBOARD_SHOTS", pathlib.Path(__file__).parent.parent / "target/dashboard"))
AXE = pathlib.Path(axe_selenium_python.__file__).parent / "node_modules/axe-core/axe.min.js"
WIDTHS = {1440: 900, 390: 844}
TOKENS = {"LOOKS": "looks-at-everything-0123456789", "ACTS": "acts-on-everything-0123456789"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLawG"
HOSTILE = "<script>document.title='taken'</script><img src=x onerror=alert(1)> \u202e {{x}} ' \" &amp;"
LONG = "n" * 10_000
FAILS = "what the model cannot read"
LIMIT_S = 60
"""Nothing that is waited for takes so long, on a busy machine either."""

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
criteria:
  - { name: Everybody is answered, holds: "unanswered == 0" }
```
"""


UNSETTLED = (WebDriverException,)
"""What is said of a page that is on its way, or is being drawn anew."""


class Service(Gateway):
    """`mainstay serve` with tokens; it can be stopped and run again where it was."""

    def __init__(self, directory, backend, hook):
        self.directory, self.config = directory, directory / "mainstay.yaml"
        (directory / "day.md").write_text(SCENARIO)
        listen, admin = free_port(), free_port()
        self.url, self.admin = f"http://127.0.0.1:{listen}", f"http://127.0.0.1:{admin}"
        head = f"listen: 127.0.0.1:{listen}\nstore: sqlite:{directory}/mainstay.db\n"
        self.config.write_text(head + CONFIG.format(admin=admin, backend=backend, hook=hook))
        self.run()

    def run(self):
        command = [os.environ["MAINSTAY_BIN"], "serve", "--config", self.config]
        Process.__init__(self, command, self.directory / "mainstay.log", cwd=self.directory, env=TOKENS | {"HOOK": SECRET})
        self.wait_until(f"{self.admin}/readyz")

    def api(self, path, body=None):
        answer = call(f"{self.admin}{path}", body, {"authorization": f"Bearer {TOKENS['ACTS']}"})
        assert answer.status < 300, (answer.status, answer.body)
        return answer.json()


class Browser:
    """A headless Chromium that remembers what its console said."""

    def __init__(self, scripts=True):
        options = webdriver.ChromeOptions()
        for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        service = webdriver.ChromeService(executable_path="/usr/bin/chromedriver")
        options.binary_location = "/usr/bin/chromium"
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_page_load_timeout(LIMIT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()

    def open(self, url):
        self.driver.get(url)
        return self

    def text(self):
        return self.driver.find_element(By.TAG_NAME, "body").text

    def one(self, css):
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def shows(self, words):
        """Waits until the page shows these words."""
        def found():
            try:
                return words in self.text()
            except UNSETTLED:
                return False

        try:
            eventually(found, LIMIT_S, 0.2)
        except AssertionError as error:
            raise AssertionError(f"{words!r} is not shown at {self.driver.current_url}:\n{self.text()[:3000]}") from error
        return self

    def again(self, act):
        """Does something to the page, again where what changes was drawn anew meanwhile."""
        def done():
            try:
                act()
                return True
            except UNSETTLED:
                return False

        eventually(done, LIMIT_S, 0.1)
        return self

    def by(self, xpath):
        return self.again(lambda: self.driver.find_element(By.XPATH, xpath).click())

    def press(self, words):
        """The button that begins with these words."""
        return self.by(f"//main//button[starts-with(normalize-space(), '{words}')] | //header//button[starts-with(normalize-space(), '{words}')]")

    def follow(self, words):
        return self.again(lambda: self.driver.find_element(By.PARTIAL_LINK_TEXT, words).click())

    def unfold(self, words):
        return self.by(f"//summary[contains(., '{words}')]")

    def fill(self, css, words):
        def typed():
            field = self.one(css)
            field.clear()
            field.send_keys(words)

        return self.again(typed)

    def read(self, what):
        """What `what` says of the page, asked again where that is drawn anew meanwhile."""
        said = []
        self.again(lambda: said.append(what()))
        return said[-1]

    def pick(self, css, value):
        return self.again(lambda: Select(self.one(css)).select_by_value(value))

    def log_in(self, service, token="ACTS"):
        self.open(f"{service.admin}/login?next=/")
        self.fill("#token", TOKENS[token]).press("Log in")
        return self.shows("Overview")

    def console(self):
        """What was said since the last time."""
        return [line for line in self.driver.get_log("browser") if line["level"] in ("SEVERE", "WARNING")]

    def addresses(self):
        """What was asked for since the last time."""
        messages = [json.loads(line["message"])["message"] for line in self.driver.get_log("performance")]
        sent = [it["params"]["request"]["url"] for it in messages if it["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith(("data:", "chrome:", "blob:"))]

    def check(self):
        """Nothing that axe-core finds by the rules of WCAG 2.1 A and AA, and of good practice."""
        # The page's own policy keeps scripts of others out; the driver's are not the page's.
        self.driver.execute_script(AXE.read_text())
        found = self.driver.execute_async_script(
            "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then((r) => done(r.violations.map((v) => "
            "[v.id, v.help, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200))])), (e) => done([['failed', String(e), []]]));"
        )
        assert found == [], f"{self.driver.current_url}: {json.dumps(found, indent=1)}"
        return self

    def shoot(self, name):
        """Screenshots at both widths, light; at the greater one also dark. Nothing is wider than the window."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        for width, height in WIDTHS.items():
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            for scheme in ("light", "dark"):
                features = [{"name": "prefers-color-scheme", "value": scheme}]
                self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
                self.check()
                whole = self.driver.execute_script("return Math.min(document.documentElement.scrollHeight, 6000)")
                self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics | {"height": max(whole, height)})
                self.driver.save_screenshot(str(SHOTS / f"{name}-{width}-{scheme}.png"))
                self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            wide = self.driver.execute_script("return document.documentElement.scrollWidth")
            assert wide <= width, f"{name}: {wide} pixels are wider than the window's {width}"
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        return self


class Traffic:
    """Requests all the time, so that there is something to see."""

    def __init__(self, service):
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.drive, args=(f"{service.url}/score",), daemon=True)
        self.thread.start()

    def drive(self, url):
        while not self.stopped.wait(0.05):
            try:
                call(url, {"x": 1}, timeout=5)
            except OSError:
                pass

    def stop(self):
        self.stopped.set()
        self.thread.join()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    pages = []

    def hook(request):
        pages.append(request.document)
        request.reply(200, {})

    def answer(request):
        request.reply(503 if request.document == {"x": FAILS} else 200, {"p": 0.9})

    with StandIn(answer) as backend, StandIn(hook) as heard:
        with Service(tmp_path_factory.mktemp("dashboard"), backend.url, heard.url) as service:
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
    "overview": "/", "slos": "/slos", "slo": "/slos/score_availability", "quality": "/quality", "incidents": "/incidents",
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
    for title in (HOSTILE, LONG[:200]):
        service.api("/api/v1/incidents", {"title": title, "severity": "sev3"})
    browser.log_in(service).open(f"{service.admin}/incidents").shows("<script>document.title").check()
    assert browser.driver.title == "Incidents · mainstay"
    assert "\u202e" not in browser.text()
    for path in (f"/incidents?q={LONG}", f"/incidents/{LONG}", f"/slos/{LONG}", "/incidents?status=<b>", "/explore?from=<b>",
                 f"/explore?id={LONG}", "/slos?page=99999999999999999999"):
        browser.open(f"{service.admin}{path}")
        wide = browser.driver.execute_script("return document.documentElement.scrollWidth > innerWidth + 1")
        assert not wide, path
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
    body = browser.one("body")
    body.send_keys(Keys.TAB)
    focused = browser.driver.switch_to.active_element
    assert focused.text == "Skip to the content"
    focused.send_keys(Keys.ENTER)
    assert browser.driver.switch_to.active_element.get_attribute("id") == "main"
    for _ in range(200):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        here = browser.driver.switch_to.active_element
        if here.tag_name == "a" and "incidents" in (here.get_attribute("href") or ""):
            break
    else:
        raise AssertionError("no incident was reached")
    outline = browser.driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


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
