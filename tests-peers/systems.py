"""One of the five example systems, running: its services, the gateway with the example's own config, and means to break things."""

import json
import os
import pathlib
import shutil
import time
import urllib.request

from harness import Process, call, eventually, free_port

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples" / "systems"

GATEWAY, ADMIN = 8080, 8090

HASTE = {
    "hysteresis: { window: 5s, down: 2, up: 30s }": "hysteresis: { window: 500ms, down: 2, up: 1s }",
    "every: 2s, timeout: 1s": "every: 250ms, timeout: 1s",
    "open: 5s, open_max: 30s": "open: 1s, open_max: 1s",
}
"""The patience of the examples, and that of a test."""

LONG_AGO_S = 400 * 86400
"""Older than any `max_age` of the examples."""


class System:
    """`services` are names and the ports that the example's config gives them."""

    def __init__(self, name: str, route: str, services: dict, directory: pathlib.Path):
        self.name, self.route, self.directory = name, route, directory
        shutil.copytree(EXAMPLES / name / "data", directory / "data", copy_function=shutil.copyfile)
        self.ports = {port: free_port() for port in [*services.values(), GATEWAY, ADMIN]}
        self.usual = services
        config = (EXAMPLES / name / "mainstay.yaml").read_text()
        for patient, hasty in HASTE.items():
            assert patient in config
            config = config.replace(patient, hasty)
        for port, free in self.ports.items():
            assert f"127.0.0.1:{port}" in config
            config = config.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}")
        (directory / "mainstay.yaml").write_text(config)
        self.url = f"http://127.0.0.1:{self.ports[GATEWAY]}"
        self.admin = f"http://127.0.0.1:{self.ports[ADMIN]}"
        self.running = {}
        try:
            for service in services:
                self.start(service)
            command = [os.environ["MAINSTAY_BIN"], "serve", "--log", "warn"]
            self.gateway = Process(command, directory / "mainstay.log", cwd=directory)
            self.running["mainstay"] = self.gateway
            self.gateway.wait_until(f"{self.admin}/readyz")
        except BaseException:
            self.stop()
            raise

    def start(self, service: str):
        """Starts a service, or brings it back on its port."""
        port = self.ports[self.usual[service]]
        command = [os.environ["MAINSTAY_SYSTEMS_BIN"], "serve", self.name, service, "--port", port]
        process = Process(command, self.directory / f"{service}.log")
        self.running[service] = process
        # Whatever it answers: it listens, so its model is learnt.
        process.wait_until(f"http://127.0.0.1:{port}/", holds=lambda answer: True)

    def kill(self, service: str):
        self.running.pop(service).kill()

    def file(self, name: str) -> pathlib.Path:
        return self.directory / "data" / name

    def age(self, name: str):
        """As if the job that writes the file had not run for long."""
        then = time.time() - LONG_AGO_S
        os.utime(self.file(name), (then, then))

    def renew(self, name: str):
        """As the job writes it: beside it, then in its place."""
        fresh = self.file(name + ".new")
        shutil.copyfile(EXAMPLES / self.name / "data" / name, fresh)
        fresh.rename(self.file(name))

    def spoil(self, name: str):
        self.file(name).write_bytes(b"\xff\xfe\x00broken\xc3\x28")

    def pin(self, level):
        arguments = ["pin", self.route, str(level)] if level is not None else ["auto", self.route]
        command = [os.environ["MAINSTAY_BIN"], "level", *arguments, "--url", self.admin]
        with Process(command, self.directory / "pin.log") as pinned:
            assert pinned.child.wait(20) == 0, pinned.log_tail()

    def stage(self, service: str, outage: dict):
        """An outage that the service itself plays."""
        url = f"http://127.0.0.1:{self.ports[self.usual[service]]}/outage"
        request = urllib.request.Request(url, json.dumps(outage).encode(), {"content-type": "application/json"}, method="PUT")
        urllib.request.urlopen(request, timeout=10).close()

    def judged(self) -> list:
        """Requests with what is known about their answers."""
        lines = (EXAMPLES / self.name / "data" / "judged.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def status(self) -> dict:
        return call(f"{self.admin}/api/v1/status").json()

    def stop(self):
        for process in reversed(self.running.values()):
            process.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def walk(requests: list, steps: list, ask, judge):
    """Down the ladder step by step and back up.

    Each look asks the judged `requests`. `steps[n]` breaks what brings the ladder to level n, as a pair of what breaks it and what repairs it. `ask(judged)` gives
    level and answer of one request, as a client of the protocol reads them; `judge(level, judged, answer)` holds for every
    answer.
    """

    def look():
        """The levels that answer."""
        answers = [(judged, *ask(judged)) for judged in requests]
        for judged, level, answer in answers:
            judge(level, judged, answer)
        return [level for _, level, _ in answers]

    def wait(level, holds):
        levels = []

        def held():
            levels[:] = look()
            return holds(levels)

        try:
            eventually(held, limit_s=30)
        except AssertionError as error:
            raise AssertionError(f"level {level} {error}; the last answers came from {levels}") from error

    for level, (breaks, _) in enumerate(steps):
        breaks()
        # What a level hands on is answered by a deeper one; none above it may answer.
        wait(level, lambda levels: level in levels and min(levels) >= level)
    for level in reversed(range(len(steps) - 1)):
        steps[level + 1][1]()
        wait(level, lambda levels: level in levels)
