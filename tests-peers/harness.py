"""What the tests against real peers share: free ports, processes with an end, a stand-in server, the gateway itself."""

import contextlib
import dataclasses
import http.server
import json
import os
import pathlib
import signal
import socket
import subprocess
import textwrap
import threading
import time
import urllib.error
import urllib.request

START_LIMIT_S = 90
"""A peer that has not answered by then is broken: importing scikit-learn on a busy machine takes some 20 s."""

STOP_LIMIT_S = 10


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclasses.dataclass(frozen=True)
class Answer:
    """One HTTP answer; `headers` has lower-case names."""

    status: int
    headers: dict
    body: bytes

    def json(self):
        return json.loads(self.body)

    @property
    def level(self) -> int:
        return int(self.headers["x-mainstay-level"])


def call(url: str, body=None, headers=None, timeout: float = 30, method=None) -> Answer:
    """GET, or POST of `body` as JSON, or what `method` says. An error status is an answer, not an exception."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return Answer(reply.status, _lower(reply.headers), reply.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, _lower(error.headers), error.read())


def _lower(headers) -> dict:
    return {name.lower(): value for name, value in headers.items()}


def eventually(holds, limit_s: float = 20, every_s: float = 0.05):
    """The first true value of `holds()`; fails after `limit_s`."""
    end = time.monotonic() + limit_s
    while True:
        value = holds()
        if value:
            return value
        assert time.monotonic() < end, f"did not hold within {limit_s} s"
        time.sleep(every_s)


class Process:
    """A child in its own process group, so that its workers end with it; what it prints goes to a file."""

    def __init__(self, command, log: pathlib.Path, cwd=None, env=None):
        self.log = log
        with open(log, "ab") as out:
            self.child = subprocess.Popen(
                [str(part) for part in command],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def wait_until(self, url: str, holds=lambda answer: answer.status == 200) -> "Process":
        def answered():
            assert self.child.poll() is None, f"ended with {self.child.returncode}:\n{self.log_tail()}"
            with contextlib.suppress(OSError):
                return holds(call(url, timeout=2))
            return False

        try:
            eventually(answered, START_LIMIT_S, every_s=0.1)
        except AssertionError as error:
            raise AssertionError(f"{url}: {error}\n{self.log_tail()}") from error
        return self

    def stop(self):
        for end in (signal.SIGTERM, signal.SIGKILL):
            if self.child.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.child.pid, end)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(STOP_LIMIT_S)

    def kill(self):
        """As a machine that goes away: no farewell."""
        os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait(STOP_LIMIT_S)

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Gateway(Process):
    """`mainstay serve` on two free ports with `config`, the YAML without `listen`, `admin` and `store`."""

    def __init__(self, directory: pathlib.Path, config: str, env=None):
        listen, admin = free_port(), free_port()
        self.url = f"http://127.0.0.1:{listen}"
        self.admin = f"http://127.0.0.1:{admin}"
        path = directory / "mainstay.yaml"
        head = f"listen: 127.0.0.1:{listen}\nadmin: {{ listen: 127.0.0.1:{admin} }}\nstore: sqlite:{directory}/mainstay.db\n"
        path.write_text(head + textwrap.dedent(config))
        binary = os.environ.get("MAINSTAY_BIN")
        assert binary, "MAINSTAY_BIN must name the mainstay binary (`cargo xtask peers` sets it)"
        super().__init__([binary, "serve", "--config", path], directory / "mainstay.log", cwd=directory, env=env)
        self.wait_until(f"{self.admin}/readyz")

    def metric(self, name: str) -> float:
        """The sum over all labels of one metric; 0 where it has no sample yet."""
        text = call(f"{self.admin}/metrics").body.decode()
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return sum(float(value) for series, value in samples if series.split("{")[0] == name)


class StandIn:
    """A small HTTP server: `answer(handler)` is called for each request, with its parsed body in `handler.document`."""

    def __init__(self, answer):
        outer = self
        self.calls = []
        self.connections = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                outer.connections.append(self.connection)

            def do_GET(self):
                self.reply(200, {})

            def do_POST(self):
                raw = self.rfile.read(int(self.headers.get("content-length", 0)))
                self.document = json.loads(raw or b"null")
                outer.calls.append((self.path, dict(self.headers), self.document))
                with contextlib.suppress(OSError):  # whoever asked is gone
                    answer(self)

            def reply(self, status, document):
                data = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def stop(self):
        """Ends kept connections too: their threads would go on to answer."""
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __exit__(self, *_):
        self.stop()
