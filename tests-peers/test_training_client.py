"""The Python client against a supervisor that is a thread of the test: it must never block, never raise, lose little."""

import contextlib
import errno
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "python"))

from harness import eventually  # noqa: E402
from mainstay import train  # noqa: E402


class Supervisor:
    """A socket that takes lines, as `mainstay train` does."""

    def __init__(self, path, reads=True):
        self.path, self.lines, self.connections, self.reads = str(path), [], [], reads
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                if self.reads:
                    threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection):
        with contextlib.suppress(OSError), connection.makefile("rb") as lines:
            for line in lines:
                self.lines.append(json.loads(line))

    def say(self, **message):
        for connection in self.connections:
            connection.sendall(json.dumps(message).encode() + b"\n")

    def of(self, kind):
        return [line for line in self.lines if line["type"] == kind]

    def die(self):
        """As `kill -9` leaves it: the path stays, nobody listens."""
        for connection in [self.listener, *self.connections]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The environment that `mainstay train` gives to a script."""
    for name in list(os.environ):
        if name.startswith("MAINSTAY_"):
            monkeypatch.delenv(name)
    (tmp_path / "events").mkdir()
    (tmp_path / "checkpoints").mkdir()
    given = {
        "PROTOCOL": "1",
        "RUN_ID": "r1",
        "ATTEMPT": "2",
        "SOCKET": tmp_path / "s",
        "EVENTS_DIR": tmp_path / "events",
        "CKPT_DIR": tmp_path / "checkpoints",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"MAINSTAY_{name}", str(value))
    monkeypatch.setattr(train, "QUIET_S", 0.0)
    return tmp_path


def in_file(place):
    return [json.loads(line) for path in (place / "events").iterdir() for line in path.read_text().splitlines()]


def test_a_supervisor_hears_who_speaks_and_how_far_it_is(place):
    supervisor = Supervisor(place / "s")
    run = train.connect()
    run.progress(5, total=10, samples=160, loss=0.5)
    run.done(10)
    eventually(lambda: supervisor.of("done"))
    hello = supervisor.lines[0]
    assert (hello["type"], hello["v"], hello["pid"], hello["rank"]) == ("hello", 1, os.getpid(), 0)
    assert supervisor.of("progress")[0] == {"type": "progress", "step": 5, "total": 10, "samples": 160}
    assert supervisor.of("metric")[0] == {"type": "metric", "step": 5, "loss": 0.5}
    assert run.dropped == 0


def test_a_loss_that_is_not_a_number_is_told_at_once(place, monkeypatch):
    monkeypatch.setattr(train, "QUIET_S", 3600.0)
    supervisor = Supervisor(place / "s")
    run = train.connect()
    for step in range(100):
        run.progress(step, loss=float("nan") if step == 60 else 1.0)

    def told():
        return [(line["step"], line["loss"]) for line in supervisor.of("metric")]

    eventually(lambda: (60, "nan") in told())
    assert len(told()) <= 2 and run.left_out >= 90


def test_a_supervisor_that_does_not_read_never_holds_the_script_up(place):
    Supervisor(place / "s", reads=False)
    run = train.connect()
    used = time.process_time()
    for step in range(50_000):
        run.progress(step, loss=1.0, text_is_no_number=1)
    # No bound on wall time, which depends on the machine; that it ends at all is the point, and that it did not spin.
    assert run.dropped > 0
    assert time.process_time() - used < 50_000 * 500e-6


def test_no_supervisor_means_a_file(place):
    run = train.connect()
    run.progress(1, loss=2.0)
    run.done(1)
    assert [line["type"] for line in in_file(place)] == ["hello", "progress", "metric", "done"]
    assert run.dropped == 0


def test_a_supervisor_that_comes_back_is_found(place, monkeypatch):
    monkeypatch.setattr(train, "RETRY_S", 0.0)
    monkeypatch.setattr(train, "RETRY_MAX_S", 0.0)
    first = Supervisor(place / "s")
    run = train.connect()
    run.progress(1)
    eventually(lambda: first.of("progress"))
    first.die()
    for step in range(2, 6):
        run.progress(step)
    os.unlink(place / "s")
    second = Supervisor(place / "s")
    run.progress(6)
    run.progress(7)
    eventually(lambda: [line for line in second.of("progress") if line["step"] == 7])
    assert second.lines[0]["type"] == "hello"
    told = {line.get("step") for line in in_file(place) + second.lines}
    assert {3, 4, 5, 6, 7} <= told  # the one that met the broken connection may be lost


def test_a_full_disk_and_no_supervisor_are_survived(place, monkeypatch):
    run = train.connect()

    def full(*_):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "write", full)
    for step in range(100):
        run.progress(step, loss=0.1)
    run.done(100)
    monkeypatch.undo()
    assert run.dropped >= 100


def test_what_no_json_can_hold_is_survived(place):
    run = train.connect()
    run.progress(1, loss=object())
    run.progress("x", cursor={"deep": object()})
    run.evaluated(1, metrics=None)
    run.progress(2, cursor={"long": "x" * train.LINE_MAX})
    assert run.dropped == 3


def test_numbers_of_other_libraries_are_numbers(place):
    class Tensor:
        def __float__(self):
            return 0.25

    supervisor = Supervisor(place / "s")
    train.connect().progress(1, loss=Tensor())
    eventually(lambda: supervisor.of("metric"))
    assert supervisor.of("metric")[0]["loss"] == 0.25


def test_a_forked_child_says_nothing_in_its_parents_name(place):
    supervisor = Supervisor(place / "s")
    run = train.connect()
    child = os.fork()
    if child == 0:
        run.progress(99)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    run.progress(1)
    eventually(lambda: supervisor.of("progress"))
    assert [line["step"] for line in supervisor.of("progress")] == [1]


def test_requests_of_the_supervisor_are_heard(place):
    supervisor = Supervisor(place / "s")
    run = train.connect()
    eventually(lambda: supervisor.connections or run.progress(1))
    assert not run.save_due(5) and not run.stop_requested
    supervisor.say(type="save_now", reason="soon")
    eventually(lambda: run.save_due(5))
    supervisor.say(type="of a later version", x=1)
    supervisor.say(type="stop", deadline=1234.5)
    eventually(lambda: run.stop_requested)
    assert run.stop_by == 1234.5


def test_how_often_to_save_may_change_also_by_a_supervisor_that_came_back(place, monkeypatch):
    monkeypatch.setattr(train, "RETRY_S", 0.01)
    first = Supervisor(place / "s")
    run = train.connect()
    eventually(lambda: first.of("hello") or run.progress(1))
    first.say(type="set", ckpt_interval_s=3600)
    eventually(lambda: run.stop_requested or run._interval_s == 3600)
    assert not run.save_due(500, default_every=500), "time decides now, not steps"
    first.die()
    (place / "s").unlink()
    second = Supervisor(place / "s")
    eventually(lambda: second.of("hello") or run.progress(2))
    second.say(type="set", ckpt_interval_s="soon")  # makes no sense, and is survived
    second.say(type="set", ckpt_interval_s=0.001)
    eventually(lambda: run.save_due(3))
    second.say(type="stop", deadline=99.5, reason="preempted")
    eventually(lambda: run.stop_requested)
    assert run.stop_by == 99.5


def test_what_went_wrong_is_told_with_its_kind(place):
    supervisor = Supervisor(place / "s")
    train.connect().error("shard 7 is broken", kind="data", retryable=False)
    eventually(lambda: supervisor.of("error"))
    said = {"type": "error", "kind": "data", "retryable": False, "message": "shard 7 is broken"}
    assert supervisor.of("error") == [said]


def test_a_shell_can_speak_too(place):
    supervisor = Supervisor(place / "s")

    def emit(*words):
        command = [sys.executable, "-m", "mainstay.train", "emit", *words]
        return subprocess.run(command, cwd=ROOT / "python", capture_output=True, text=True, timeout=60).returncode

    assert emit("progress", "--step", "5", "--total", "10", "loss=0.5") == 0
    assert emit("eval", "--step=5", "--n", "360", "accuracy=0.97") == 0
    written = place / "written"
    written.mkdir()
    (written / "weights").write_text("five")
    assert emit("checkpoint", "--step", "5", "--from", str(written), "--cursor", '{"at": 5}', "accuracy=0.97") == 0
    assert emit("done", "--step", "10") == 0
    eventually(lambda: supervisor.of("done"))
    kinds = [line["type"] for line in supervisor.lines if line["type"] != "hello"]
    assert kinds == ["progress", "metric", "eval", "ckpt_begin", "ckpt_ready", "done"]
    assert supervisor.of("progress") == [{"type": "progress", "step": 5, "total": 10}]
    assert (supervisor.of("eval")[0]["n"], supervisor.of("done")[0]["step"]) == (360, 10)
    ready = supervisor.of("ckpt_ready")[0]
    assert (pathlib.Path(ready["tmp"]) / "weights").read_text() == "five" and ready["cursor"] == {"at": 5}
    for wrong in [(), ("progress",), ("progress", "--step"), ("progress", "--step", "x"), ("progress", "5")]:
        assert emit(*wrong) == 2
    supervisor.die()
    assert emit("heartbeat") == 0


def test_sigterm_is_a_request_to_stop(place):
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT / "python")!r})
from mainstay import train
run = train.connect()
assert not run.stop_requested
os.kill(os.getpid(), signal.SIGTERM)
assert run.stop_requested
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_alone_a_checkpoint_is_whole_or_not_there(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("MAINSTAY_"):
            monkeypatch.delenv(name)
    run = train.connect(tmp_path / "c")
    assert run.resume() is None
    for step in (10, 20, 30):
        with run.checkpoint(step, cursor={"at": step}) as directory:
            pathlib.Path(directory, "w").write_text(str(step))
    with pytest.raises(KeyError):
        with run.checkpoint(40) as directory:
            pathlib.Path(directory, "w").write_text("half")
            raise KeyError
    assert run.resume().step == 30
    names = sorted(os.listdir(tmp_path / "c"))
    assert names == ["step-0000000010-a1", "step-0000000020-a1", "step-0000000030-a1"]
    (tmp_path / "c" / names[2] / "w").write_text("31")  # a bit flips: same length, other bytes
    assert run.resume().step == 20
    (tmp_path / "c" / names[1] / "w").unlink()
    resumed = run.resume()
    assert (resumed.step, resumed.cursor) == (10, {"at": 10})


def test_the_file_works_alone_and_needs_nothing(tmp_path):
    copy = tmp_path / "anything.py"
    copy.write_bytes((ROOT / "python/mainstay/train.py").read_bytes())
    code = "import anything; r = anything.connect('c'); r.progress(1, loss=1); r.done(1); print(r.dropped)"
    ended = subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.'); {code}"], cwd=tmp_path)
    assert ended.returncode == 0
    compile(copy.read_text(), "train.py", "exec", dont_inherit=True)
    import ast

    ast.parse(copy.read_text(), feature_version=(3, 8))


def test_the_package_installs_and_its_wheel_holds_the_file(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT / "python", source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    offline = ["--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*pip, "wheel", *offline, "--wheel-dir", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("mainstay-*-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"mainstay/__init__.py", "mainstay/train.py", "mainstay/py.typed"} <= set(names)
    subprocess.run([*pip, "install", *offline, "--target", tmp_path / "site", source], check=True)
    code = "from mainstay import train; print(train.__file__)"
    environ = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    out = subprocess.run([sys.executable, "-c", code], check=True, env=environ, capture_output=True, text=True)
    assert out.stdout.startswith(str(tmp_path / "site"))
