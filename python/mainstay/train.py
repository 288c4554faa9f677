"""The training script's side of `mainstay train`: one file, the standard library only, Python 3.8 or later.

    from mainstay import train

    run = train.connect()
    start = run.resume()                       # None, or where to go on: .path, .step, .cursor
    step = load(start.path) if start else 0
    while step < total:
        loss = train_one_batch()
        step += 1
        run.progress(step, total=total, loss=loss)
        if run.save_due(step, default_every=500) or run.stop_requested:
            with run.checkpoint(step, cursor={"epoch": e, "position": p}) as directory:
                save_everything(directory)
        if run.stop_requested:
            return
    run.done(step)

What it promises: telling the supervisor something never blocks the script and never raises, whatever became of the
supervisor, the socket or the disk. Lines that cannot be sent are dropped and counted (`run.dropped`). A supervisor that
dies and comes back is found again. Without a supervisor everything works too: checkpoints are then committed here, by the
same protocol, and `resume` finds the newest one that is whole.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
import weakref

PROTOCOL = 1
"""The version of the protocol, mstp/1, that this file speaks."""

LINE_MAX = 64 * 1024
"""Longest line in bytes, its end included; the supervisor refuses longer ones."""

HELD_MAX = 256
"""Lines that matter (checkpoints, errors, the end) which may wait for a supervisor that is away."""

FILE_MAX = 64 * 1024 * 1024
"""Bytes of the file that takes the lines while the supervisor is away."""

QUIET_S = 0.02
"""Progress is told, and the supervisor listened to, at most this often; what is left out between two lines is counted. A
loss that is not a finite number is always told."""

RETRY_S, RETRY_MAX_S = 0.2, 5.0
"""Pauses between attempts to reach a supervisor that is away."""

STORAGE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
"""What a full or broken disk says; a save that fails so is reported, and training goes on."""


def connect(checkpoints="checkpoints", handle_sigterm=True):
    """The run that this process belongs to.

    Everything comes from the environment that `mainstay train` sets. Without it, `checkpoints` names the directory that
    checkpoints go to. `handle_sigterm` turns SIGTERM into `run.stop_requested`, where nobody handles it yet.
    """
    return Run(os.environ, checkpoints, handle_sigterm)


class Resume:
    """Where to go on: `path` of the checkpoint's directory, its `step`, and the `cursor` and `metrics` given with it."""

    def __init__(self, path, step, cursor, metrics):
        self.path, self.step, self.cursor, self.metrics = path, step, cursor, metrics

    def __repr__(self):
        return f"Resume(path={self.path!r}, step={self.step})"


class Run:
    """A training run, as its script sees it. Safe to use from several threads; a forked child tells nothing until it
    calls `connect` itself."""

    def __init__(self, environ, checkpoints, handle_sigterm):
        env = _Environment(environ)
        self.id = env.text("RUN_ID") or "alone"
        self.attempt = env.integer("ATTEMPT", 1)
        self.rank = _integer(environ.get("RANK"), 0)
        self.world = _integer(environ.get("WORLD_SIZE"), None)
        self.supervised = bool(env.text("PROTOCOL"))
        self.seed = env.integer("SEED", None)
        self.deadline = env.number("DEADLINE_UNIX", None)
        self.grace_s = env.number("GRACE_S", None)
        self.left_out = 0
        self._env = env
        self._directory = env.text("CKPT_DIR") or checkpoints
        self._every = env.integer("CKPT_EVERY", None)
        self._interval_s = env.number("CKPT_INTERVAL_S", None)
        self._saved_at = time.monotonic()
        self._save_now = self._stop = False
        self._stop_by = None
        self._skip = _ranges(env.json_file("SKIP_FILE"))
        self._lock = threading.RLock()
        self._pending, self._told_at, self._listen_at = None, 0.0, 0.0
        self._wire = _Wire(env, self.rank, self._hello())
        if handle_sigterm:
            self._listen_for_sigterm()
        _RUNS.add(self)

    # What the script is to do

    def resume(self):
        """Where to go on, as a `Resume`; `None`: at the beginning."""
        path = self._env.text("RESUME")
        if self.supervised:
            if not path:
                return None
            manifest = _read_json(os.path.join(path, MANIFEST)) or {}
            cursor = self._env.json_file("RESUME_CURSOR")
            step = self._env.integer("RESUME_STEP", manifest.get("step", 0))
            return Resume(path, step, manifest.get("cursor") if cursor is None else cursor, manifest.get("metrics"))
        return _newest_whole(self._directory)

    def skips(self, step):
        """Whether this step's batch is to be left out: it made the loss explode in an earlier attempt."""
        return any(first <= step <= last for first, last in self._skip)

    @property
    def stop_requested(self):
        """Whether the run is to save and end here: it is preempted, its time is up, or somebody stops it."""
        self._listen()
        return self._stop

    @property
    def stop_by(self):
        """Unix time by which the process must have ended, where it is known."""
        return self._stop_by

    def save_due(self, step, default_every=None):
        """Whether a checkpoint is due at this step: asked for, or by the supervisor's interval, else by
        `default_every` steps."""
        self._listen()
        if self._save_now:
            return True
        if self._interval_s:
            return time.monotonic() - self._saved_at >= self._interval_s
        every = self._every or default_every
        return bool(every) and step > 0 and step % every == 0

    # What the script tells

    def progress(self, step, total=None, samples=None, cursor=None, **metrics):
        """The run is at `step`: this is what proves that it moves. `metrics` are numbers such as `loss=`, `lr=`,
        `grad_norm=`; what converts to a float will do. Call it as often as you like."""
        with _never_raises(self):
            fields = {"step": step, "total": total, "samples": samples, "cursor": cursor}
            numbers = {name: _number(value) for name, value in metrics.items() if value is not None}
            broken = any(isinstance(value, str) for value in numbers.values())
            with self._lock:
                now = time.monotonic()
                if not broken and now - self._told_at < QUIET_S:
                    self.left_out += self._pending is not None
                    self._pending = (fields, numbers)
                    return
                self._pending, self._told_at = None, now
                self._tell_progress(fields, numbers)
            self._listen()

    @contextlib.contextmanager
    def phase(self, name, budget_s=None):
        """The run is in a phase in which steps may not come: `load`, `compile`, `eval`. Ends as the block ends."""
        self._say("phase", name=name, budget_s=budget_s)
        try:
            yield
        finally:
            self._say("phase", name="step")

    def evaluated(self, step, metrics, dataset="held_out", n=None):
        """What an evaluation of `step` found, on `n` samples of a data set that is never trained on."""
        self._say("eval", step=step, set=dataset, metrics=_numbers(metrics), n=n)

    def heartbeat(self):
        """The process is alive. It proves no progress: a run that only does this is still found hanging."""
        self._say("heartbeat")

    def error(self, message, kind="user", retryable=True):
        """Something went wrong, said before the process ends because of it."""
        self._say("error", True, kind=kind, retryable=retryable, message=str(message)[:2000])

    def done(self, step, artifact=None):
        """All steps are made; `artifact` names the file or directory that came out."""
        path = os.path.abspath(artifact) if artifact else None
        self._say("done", True, step=step, artifact=path)
        self._say_rest()

    @contextlib.contextmanager
    def checkpoint(self, step, cursor=None, metrics=None, required=False):
        """A directory to save into: `with run.checkpoint(step, cursor=...) as directory:`.

        When the block ends the files are made durable and the checkpoint is committed, or handed to the supervisor,
        which does so while training goes on. A block that raises commits nothing. A full or broken disk is reported
        and training goes on without this checkpoint, unless `required`.
        """
        begun = time.monotonic()
        directory = None
        try:
            directory = self._begin(step)
            yield directory
            self._ready(step, directory, cursor, _numbers(metrics or {}), begun)
        except OSError as problem:
            self._discard(directory)
            if required or problem.errno not in STORAGE_ERRORS:
                raise
            self.error(f"checkpoint of step {step}: {problem}", kind="storage")
            # The same full disk may hold what is printed.
            with contextlib.suppress(OSError, ValueError):
                print(f"mainstay: checkpoint of step {step} was not saved: {problem}", file=sys.stderr, flush=True)
        except BaseException:
            self._discard(directory)
            raise
        finally:
            self._saved_at, self._save_now = time.monotonic(), False

    @property
    def dropped(self):
        """Lines that could not be told."""
        return self._wire.dropped

    # Inside

    def _hello(self):
        caps = ["resume", "cursor", "skip", "save_now", "stop"]
        fields = {"v": PROTOCOL, "pid": os.getpid(), "rank": self.rank, "world": self.world, "caps": caps}
        fields["attempt"] = self.attempt
        return _line("hello", fields)

    def _say(self, kind, matters=False, /, **fields):
        with _never_raises(self):
            with self._lock:
                self._tell_pending()
                self._wire.send(_line(kind, fields), matters)
            self._listen()

    def _say_rest(self):
        """Before a short process ends: what waits is said, for a second at most."""
        with _never_raises(self):
            with self._lock:
                self._tell_pending()
            self._wire.flush(time.monotonic() + 1.0)

    def _tell_pending(self):
        if self._pending:
            fields, numbers = self._pending
            self._pending = None
            self._tell_progress(fields, numbers)

    def _tell_progress(self, fields, numbers):
        self._wire.send(_line("progress", fields), False)
        if numbers:
            self._wire.send(_line("metric", {"step": fields["step"], **numbers}), False)

    def _listen(self):
        """Takes what the supervisor said meanwhile; looks for it no more often than anything is told."""
        now = time.monotonic()
        if now < self._listen_at:
            return
        with _never_raises(self):
            with self._lock:
                self._listen_at = now + QUIET_S
                messages = self._wire.receive()
            for message in messages:
                with contextlib.suppress(TypeError, ValueError):  # makes no sense; the next one may
                    self._obey(message)

    def _obey(self, message):
        kind = message.get("type")
        if kind == "stop":
            self._stop, self._stop_by = True, message.get("deadline", self._stop_by)
        elif kind == "save_now":
            self._save_now = True
        elif kind in ("welcome", "set") and message.get("ckpt_interval_s"):
            self._interval_s = float(message["ckpt_interval_s"])

    def _listen_for_sigterm(self):
        with contextlib.suppress(ValueError):  # not the main thread
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_stop", True))

    def _begin(self, step):
        self._say("ckpt_begin", step=step, tmp=self._temporary(step))
        directory = self._temporary(step)
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        return directory

    def _temporary(self, step):
        return os.path.join(os.path.abspath(self._directory), f".tmp-{self.attempt}-{step}")

    def _ready(self, step, directory, cursor, metrics, begun):
        if not self.supervised:
            _commit(directory, self.attempt, step, cursor, metrics)
            return
        blocking = time.monotonic() - begun
        fields = {"step": step, "tmp": directory, "cursor": cursor, "metrics": metrics, "blocking_s": round(blocking, 6)}
        self._say("ckpt_ready", True, **fields)

    def _discard(self, directory):
        if directory:
            shutil.rmtree(directory, ignore_errors=True)


class _Wire:
    """Lines to the supervisor and back: a Unix socket, else a file, else nowhere. Nothing here waits."""

    def __init__(self, env, rank, hello):
        self.dropped = 0
        self._path = env.text("SOCKET")
        self._events = env.text("EVENTS_DIR")
        self._hello = hello
        self._name = f"{rank}-{os.getpid()}.jsonl"
        self._socket = self._file = None
        self._file_room = FILE_MAX
        self._next_try, self._pause = 0.0, RETRY_S
        self._unsent = b""
        self._held = collections.deque()
        self._received = b""

    def send(self, line, matters):
        if len(line) > LINE_MAX:
            self.dropped += 1
        elif self._connected():
            self._to_socket(line, matters)
        else:
            self._to_file(line)

    def receive(self):
        """The messages that arrived."""
        if not self._socket:
            return []
        try:
            part = self._socket.recv(LINE_MAX)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            part = b""
        if not part:
            self._lost()
            return []
        *lines, self._received = (self._received + part).split(b"\n")
        if len(self._received) > LINE_MAX:
            self._received = b""
        return [message for message in map(_parsed, lines) if message is not None]

    def flush(self, deadline):
        """Sends what is left of the lines that matter, until `deadline` at most."""
        while (self._unsent or self._held) and self._socket and time.monotonic() < deadline:
            self._push()
            if self._unsent or self._held:
                time.sleep(0.01)

    def forget(self):
        """In a forked child: the parent's connection is not the child's."""
        self._socket = self._file = self._path = self._events = None
        self._unsent, self._received = b"", b""
        self._held.clear()

    def _connected(self):
        if self._socket:
            return True
        now = time.monotonic()
        if not self._path or now < self._next_try:
            return False
        self._next_try, self._pause = now + self._pause, min(2 * self._pause, RETRY_MAX_S)
        wire = None
        try:
            wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            wire.setblocking(False)
            wire.connect(self._path)
        except OSError:
            if wire:
                wire.close()
            return False
        self._socket, self._unsent, self._received = wire, self._hello, b""
        self._pause = RETRY_S
        self._push()
        return self._socket is not None

    def _to_socket(self, line, matters):
        self._push()
        if self._socket and not self._unsent and not self._held:
            self._unsent = line
            self._push()
        elif matters and len(self._held) < HELD_MAX:
            self._held.append(line)
        else:
            self.dropped += 1

    def _push(self):
        """Sends as much as the socket takes at once; a line that was begun is always ended before the next."""
        try:
            while self._unsent or self._held:
                if not self._unsent:
                    self._unsent = self._held.popleft()
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._lost()

    def _lost(self):
        with contextlib.suppress(OSError):
            self._socket.close()
        self._socket = None
        if self._unsent:
            self.dropped += 1
        self._unsent = b""
        for line in self._held:
            self._to_file(line)
        self._held.clear()

    def _to_file(self, line):
        try:
            if self._events and self._file is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._file = os.open(os.path.join(self._events, self._name), flags, 0o600)
                os.write(self._file, self._hello)
            if self._file is not None and len(line) <= self._file_room:
                self._file_room -= len(line)
                if os.write(self._file, line) == len(line):
                    return
        except OSError:
            pass
        self.dropped += 1


class _Environment:
    """The variables that `mainstay train` sets, read without trusting them."""

    def __init__(self, environ):
        self._environ = environ

    def text(self, name):
        return self._environ.get("MAINSTAY_" + name) or None

    def integer(self, name, default):
        return _integer(self.text(name), default)

    def number(self, name, default):
        try:
            return float(self.text(name))
        except (TypeError, ValueError):
            return default

    def json_file(self, name):
        path = self.text(name)
        return _read_json(path) if path else None


# Checkpoints without a supervisor: the same layout, committed here.

MANIFEST = "MANIFEST.json"


def _commit(directory, attempt, step, cursor, metrics):
    """Temporary directory, fsync of the files, manifest, rename, fsync of the parent: whole, or not there."""
    files = []
    for name in _files_below(directory):
        path = os.path.join(directory, name)
        files.append({"path": name, "size": os.path.getsize(path), "sha256": _sha256(path)})
        _fsync(path)
    manifest = {"v": PROTOCOL, "run": "alone", "attempt": attempt, "step": step, "cursor": cursor}
    manifest.update(metrics=metrics, files=files)
    path = os.path.join(directory, MANIFEST)
    with open(path, "w") as file:
        json.dump(manifest, file)
    _fsync(path)
    _fsync(directory)
    parent = os.path.dirname(directory)
    final = os.path.join(parent, f"step-{step:010d}-a{attempt}")
    if os.path.exists(final):  # made again after a return to an earlier step
        shutil.rmtree(final)
    os.rename(directory, final)
    _fsync(parent)


def _newest_whole(directory):
    """The checkpoint of the greatest step whose files are as its manifest says."""
    with contextlib.suppress(OSError):
        names = [name for name in os.listdir(directory) if re.match(r"step-\d{10}-a\d+$", name)]
        for name in sorted(names, reverse=True):
            path = os.path.join(directory, name)
            manifest = _read_json(os.path.join(path, MANIFEST))
            if isinstance(manifest, dict) and _is_whole(path, manifest):
                return Resume(path, manifest.get("step", 0), manifest.get("cursor"), manifest.get("metrics"))
    return None


def _is_whole(directory, manifest):
    try:
        return all(
            os.path.getsize(os.path.join(directory, file["path"])) == file["size"]
            and _sha256(os.path.join(directory, file["path"])) == file["sha256"]
            for file in manifest["files"]
        )
    except (OSError, KeyError, TypeError):
        return False


def _files_below(directory):
    for folder, folders, names in os.walk(directory):
        folders.sort()
        for name in sorted(names):
            yield os.path.relpath(os.path.join(folder, name), directory)


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _fsync(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# Small things


def _line(kind, fields):
    """One line of the protocol; fields that are `None` are left out."""
    document = {"type": kind}
    for name, value in fields.items():
        if value is not None:
            document[name] = value
    return json.dumps(document, separators=(",", ":"), allow_nan=False, default=_number).encode() + b"\n"


def _parsed(line):
    with contextlib.suppress(ValueError):
        message = json.loads(line)
        if isinstance(message, dict):
            return message
    return None


def _number(value):
    """A number as JSON has it; one that is not finite becomes a word, since JSON has none for it."""
    if type(value) is not int:
        value = float(value)
        if not math.isfinite(value):
            return "nan" if value != value else "inf" if value > 0 else "-inf"
    return value


def _numbers(metrics):
    with contextlib.suppress(TypeError, ValueError, AttributeError):
        return {str(name): _number(value) for name, value in metrics.items()}
    return {}


def _integer(text, default):
    try:
        return int(text)
    except (TypeError, ValueError):
        return default


def _read_json(path):
    with contextlib.suppress(OSError, ValueError):
        with open(path) as file:
            return json.load(file)
    return None


def _ranges(document):
    """Pairs of first and last step, both included, from a list of pairs."""
    with contextlib.suppress(TypeError, ValueError):
        return [(int(first), int(last)) for first, last in document or ()]
    return []


@contextlib.contextmanager
def _never_raises(run):
    """Telling must not hurt the script: whatever goes wrong counts as a line that was dropped."""
    try:
        yield
    except Exception:
        with contextlib.suppress(Exception):
            run._wire.dropped += 1


# From a shell: python -m mainstay.train emit progress --step 5


USAGE = """usage: python -m mainstay.train emit TYPE [--FIELD VALUE].. [METRIC=NUMBER]..

Says one line of the protocol to the supervisor, for scripts in a shell or another language. Where there is none nothing is
told, and a checkpoint is committed all the same.

  emit progress --step 5 --total 100 loss=0.25
  emit phase --name eval
  emit eval --step 5 --n 360 accuracy=0.97
  emit checkpoint --step 5 --from DIR accuracy=0.97      the files in DIR become the checkpoint; DIR is gone then
  emit error --kind data --message "shard 7 is broken"
  emit done --step 100

Exit code 0 also where nobody listens: telling never stops a script. 2: the arguments are wrong. 1: a checkpoint could not be saved."""


def _emit(arguments):
    """One line for the supervisor, from the command line."""
    if len(arguments) < 2 or arguments[0] != "emit" or arguments[1].startswith("-"):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        fields, metrics = _fields(arguments[2:])
        run = connect(handle_sigterm=False)
        return _emit_line(run, arguments[1], fields, metrics)
    except (ValueError, KeyError) as problem:
        print(f"mainstay: {problem.args[0]}\n\n{USAGE}", file=sys.stderr)
        return 2


def _fields(arguments):
    fields, metrics, rest = {}, {}, list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("--"):
            if not equals and not rest:
                raise ValueError(f"{word} needs a value")
            fields[name] = value if equals else rest.pop(0)
        elif equals:
            metrics[name] = float(value)
        else:
            raise ValueError(f"`{word}` is neither --FIELD VALUE nor METRIC=NUMBER")
    for name in ("step", "total", "samples", "n"):
        if name in fields:
            fields[name] = int(fields[name])
    return fields, metrics


def _emit_line(run, kind, fields, metrics):
    if kind == "checkpoint":
        return _emit_checkpoint(run, int(_needed(fields, "step")), _needed(fields, "from"), fields, metrics)
    if kind == "progress":
        run.progress(_needed(fields, "step"), fields.get("total"), fields.get("samples"), **metrics)
    elif kind == "eval":
        run.evaluated(_needed(fields, "step"), metrics, n=fields.get("n"))
    elif kind == "error":
        run.error(fields.get("message", ""), fields.get("kind", "user"), fields.get("retryable", "true") != "false")
    else:
        run._say(kind, True, **fields, **{name: _number(value) for name, value in metrics.items()})
    run._say_rest()
    return 0


def _needed(fields, name):
    if name not in fields:
        raise ValueError(f"--{name} is needed")
    return fields[name]


def _emit_checkpoint(run, step, source, fields, metrics):
    cursor = json.loads(fields["cursor"]) if "cursor" in fields else None
    try:
        with run.checkpoint(step, cursor=cursor, metrics=metrics, required=True) as directory:
            for name in os.listdir(source):
                shutil.move(os.path.join(source, name), os.path.join(directory, name))
            os.rmdir(source)
    except OSError as problem:
        print(f"mainstay: checkpoint of step {step} was not saved: {problem}", file=sys.stderr)
        return 1
    run._say_rest()
    return 0


_RUNS = weakref.WeakSet()


def _after_fork():
    for run in list(_RUNS):
        run._lock = threading.RLock()
        run._wire.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

if __name__ == "__main__":
    sys.exit(_emit(sys.argv[1:]))
