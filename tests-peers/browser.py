"""A headless Chromium in front of the dashboard, the service that it looks at, and traffic for it.

Screenshots at 1440 and 390 pixels go to `DASHBOARD_SHOTS`, or to `target/dashboard` where it is not set."""

import json
import os
import pathlib
import threading

import axe_selenium_python
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from harness import Gateway, Process, call, eventually, free_port

SHOTS = pathlib.Path(os.environ.get("DASHBOARD_SHOTS", pathlib.Path(__file__).parent.parent / "target/dashboard"))
AXE = pathlib.Path(axe_selenium_python.__file__).parent / "node_modules/axe-core/axe.min.js"
WIDTHS = {1440: 900, 390: 844}
TOKENS = {"LOOKS": "looks-at-everything-0123456789", "ACTS": "acts-on-everything-0123456789"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLawG"
HOSTILE = "<script>document.title='taken'</script><img src=x onerror=alert(1)> \u202e {{x}} ' \" &amp;"
LONG = "n" * 10_000
LIMIT_S = 60
"""Nothing that is waited for takes so long, on a busy machine either."""

UNSETTLED = (WebDriverException,)
"""What is said of a page that is on its way, or is being drawn anew."""


class Service(Gateway):
    """`mainstay serve` with tokens; it can be stopped and run again where it was."""

    def __init__(self, directory, config, **where):
        self.directory, self.config = directory, directory / "mainstay.yaml"
        listen, admin = free_port(), free_port()
        self.url, self.admin = f"http://127.0.0.1:{listen}", f"http://127.0.0.1:{admin}"
        head = f"listen: 127.0.0.1:{listen}\nstore: sqlite:{directory}/mainstay.db\n"
        self.config.write_text(head + config.format(admin=admin, **where))
        self.run()

    def run(self):
        command = [os.environ["MAINSTAY_BIN"], "serve", "--config", self.config]
        Process.__init__(self, command, self.directory / "mainstay.log", cwd=self.directory, env=TOKENS | {"HOOK": SECRET})
        self.wait_until(f"{self.admin}/readyz")

    def api(self, path, body=None, method=None):
        answer = call(f"{self.admin}{path}", body, {"authorization": f"Bearer {TOKENS['ACTS']}"}, method=method)
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

    def type(self, keys):
        """Presses keys where the focus is."""
        ActionChains(self.driver).send_keys(keys).perform()
        return self

    def focused(self, what):
        """A property of what has the focus."""
        return self.driver.execute_script("return document.activeElement[arguments[0]]", what)

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

    def is_wide(self):
        """Whether the page is wider than the window."""
        return self.driver.execute_script("return document.documentElement.scrollWidth > innerWidth + 1")

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

    def __init__(self, service, every_s=0.05):
        self.stopped, self.every_s = threading.Event(), every_s
        self.thread = threading.Thread(target=self.drive, args=(f"{service.url}/score",), daemon=True)
        self.thread.start()

    def drive(self, url):
        while not self.stopped.wait(self.every_s):
            try:
                call(url, {"x": 1}, timeout=5)
            except OSError:
                pass

    def stop(self):
        self.stopped.set()
        self.thread.join()
