"""The digits example under `mainstay train`: killed, its checkpoints damaged, its disk full, its supervisor killed. What comes
out is the same bytes each time, and each sample was seen exactly once per epoch."""

import collections
import contextlib
import importlib.util
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest

from harness import eventually

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples/training/digits/train.py"
EPOCHS, EVERY, STEPS_PER_EPOCH, TRAINED = 12, 20, 45, 1437
STEPS = EPOCHS * STEPS_PER_EPOCH
KILLS = 20

# Runs the example; the attempt of that number ends without a farewell as `kills.json` says. `["step", N]`: after step N.
# `["save", N, K]`: in the first save after step N, at the K-th of: directory made, weights begun, weights half on the disk,
# weights written, position written, supervisor told.
KILLED = textwrap.dedent(
    """
    import json, os, runpy, signal, sys
    sys.path.insert(0, {python!r})
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    import numpy, types
    from mainstay import train

    # Importing scikit-learn takes longer than all of the training; what it gives is kept.
    def load_digits():
        if not os.path.exists({digits!r}):
            from sklearn.datasets import load_digits as real
            kept = real()
            with open({digits!r} + ".new", "wb") as file:
                numpy.savez(file, data=kept.data, target=kept.target)
            os.rename({digits!r} + ".new", {digits!r})
        return types.SimpleNamespace(**numpy.load({digits!r}))

    if os.path.exists({digits!r}):
        sys.modules["sklearn"] = types.ModuleType("sklearn")
        sys.modules["sklearn.datasets"] = types.SimpleNamespace(load_digits=load_digits)
    else:
        load_digits()

    kills = json.load(open({kills!r}))
    attempt = int(os.environ.get("MAINSTAY_ATTEMPT", 1))
    kind, step, *at = kills.get(str(attempt), ["none", 0])
    state = {{"step": 0, "points": 0}}

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def point():
        if kind == "save" and state["step"] >= step:
            if state["points"] == at[0]:
                die()
            state["points"] += 1

    tell, say, savez, begin = train.Run.progress, train.Run._say, numpy.savez, train.Run._begin

    def progress(self, now, **named):
        tell(self, now, **named)
        state["step"] = now
        if kind == "step" and now >= step:
            die()

    def save(path, **arrays):
        if os.path.basename(path) != "state.npz":
            return savez(path, **arrays)
        point()
        savez(path, **arrays)
        with open(path, "r+b") as file:  # as it is half way
            whole = file.read()
            file.truncate(len(whole) // 2)
            point()
            file.seek(0)
            file.write(whole)
        point()

    def began(self, now):
        directory = begin(self, now)
        point()
        return directory

    def saying(self, what, *rest, **fields):
        if what == "ckpt_ready":
            point()
        say(self, what, *rest, **fields)
        if what == "ckpt_ready":
            self._wire.flush(train.time.monotonic() + 1)
            point()

    train.Run.progress, train.Run._say, train.Run._begin, numpy.savez = progress, saying, began, save
    sys.argv = [{example!r}, *sys.argv[1:]]
    runpy.run_path({example!r}, run_name="__main__")
    """
)


class Job:
    """A directory in which the example is trained under supervision."""

    def __init__(self, place, kills=None, checkpoints=None):
        self.place = place
        self.checkpoints = checkpoints or place / "checkpoints"
        (place / "kills.json").write_text(json.dumps(kills or {}))
        self.script = place / "killed.py"
        names = {"python": str(ROOT / "python"), "example": str(EXAMPLE), "kills": str(place / "kills.json"), "digits": str(place.parent / "digits.npz")}
        self.script.write_text(KILLED.format(**names))

    def command(self, *more, script=None, pace=0):
        arguments = ["--epochs", EPOCHS, "--ledger", self.place / "ledger.jsonl", "--pace", pace]
        binary = os.environ["MAINSTAY_BIN"]
        head = [binary, "train", "--checkpoints", self.checkpoints, "--checkpoint-every", EVERY, "--format", "json", *more]
        return [str(part) for part in [*head, "--", sys.executable, script or self.script, *arguments]]

    def train(self, *more, **named):
        ended = subprocess.run(self.command(*more, **named), cwd=self.place, env=environ(), capture_output=True, text=True, timeout=240)
        assert ended.stdout, ended.stderr
        return ended, json.loads(ended.stdout)

    def start(self, *more, **named):
        with open(self.place / "supervisor.log", "ab") as log:
            command = self.command(*more, **named)
            return subprocess.Popen(command, cwd=self.place, env=environ(), stdout=log, stderr=log, start_new_session=True)

    def ledger(self):
        with contextlib.suppress(FileNotFoundError):
            return [json.loads(line) for line in (self.place / "ledger.jsonl").read_text().splitlines()]
        return []

    def journal(self):
        return [json.loads(line) for line in (self.checkpoints / "journal.jsonl").read_text().splitlines()]

    def weights(self):
        return (self.place / "model.npz").read_bytes()

    def assert_each_sample_once_per_epoch(self):
        """By the last attempt at each step: those are the steps that the weights come from."""
        last = {entry["step"]: entry for entry in self.ledger()}
        assert sorted(last) == list(range(1, STEPS + 1))
        by_epoch = collections.defaultdict(collections.Counter)
        for entry in last.values():
            by_epoch[entry["epoch"]].update(entry["ids"])
        assert sorted(by_epoch) == list(range(EPOCHS))
        assert all(epoch == collections.Counter(range(TRAINED)) for epoch in by_epoch.values())


def environ():
    return {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY_")}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    job = Job(tmp_path_factory.mktemp("uninterrupted"))
    _, summary = job.train()
    assert (summary["state"], summary["attempts"]) == ("succeeded", 1)
    job.assert_each_sample_once_per_epoch()
    return job.weights()


def test_killed_at_twenty_steps_the_weights_are_the_same_bytes(uninterrupted, tmp_path):
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)  # shown where the test fails
    chance = random.Random(seed)
    steps = sorted(chance.sample(range(1, STEPS - EVERY), KILLS))
    # Every other one during the first save from there on.
    kills = {
        str(number): ["save", step, chance.randrange(6)] if number % 2 == 0 else ["step", step]
        for number, step in enumerate(steps, start=1)
    }
    job = Job(tmp_path, kills)
    ended, summary = job.train("--retries", KILLS)
    assert (summary["state"], summary["attempts"]) == ("succeeded", KILLS + 1), ended.stderr
    killed = [entry["signal"] for entry in job.journal() if entry["what"] == "attempt_ended"][:-1]
    assert killed == [signal.SIGKILL] * KILLS
    assert job.weights() == uninterrupted
    job.assert_each_sample_once_per_epoch()
    assert not list(job.checkpoints.glob(".tmp-*"))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run with three checkpoints, whose script was killed soon after the last one."""
    job = Job(tmp_path_factory.mktemp("stopped"), {"1": ["step", 3 * EVERY + 5]})
    _, summary = job.train("--retries", "0")
    assert (summary["state"], summary["latest"]) == ("failed", f"step-{3 * EVERY:010d}-a1")
    return job


def damage_state(change):
    def damage(newest):
        state = newest / "state.npz"
        state.write_bytes(change(state.read_bytes()))

    return damage


DAMAGES = {
    "torn": damage_state(lambda whole: whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2)),
    "truncated": damage_state(lambda whole: whole[: len(whole) // 2]),
    "flipped": damage_state(lambda whole: whole[:500] + bytes([whole[500] ^ 1]) + whole[501:]),
    "zero-length": damage_state(lambda _: b""),
    "a file missing": lambda newest: (newest / "state.npz").unlink(),
    "no manifest": lambda newest: (newest / "MANIFEST.json").unlink(),
    "missing": lambda newest: shutil.rmtree(newest),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_checkpoint_is_put_aside_for_the_one_before(uninterrupted, stopped, tmp_path, damage):
    shutil.copytree(stopped.place, tmp_path, dirs_exist_ok=True)
    job = Job(tmp_path)
    newest = job.checkpoints / f"step-{3 * EVERY:010d}-a1"
    DAMAGES[damage](newest)
    ended, summary = job.train()
    assert summary["state"] == "succeeded", ended.stderr
    steps = [entry["step"] for entry in job.ledger() if entry["attempt"] == 2]
    assert steps[0] == 2 * EVERY + 1, "it went on from the one before"
    if damage != "missing":
        assert (job.checkpoints / f"broken-{newest.name}").is_dir()
        said = [entry for entry in job.journal() if entry["what"] == "quarantined"]
        assert [entry["checkpoint"] for entry in said] == [newest.name]
    assert job.weights() == uninterrupted
    job.assert_each_sample_once_per_epoch()


@contextlib.contextmanager
def small_disk(place, size):
    """A file system of `size` bytes; false where none may be mounted."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_costs_checkpoints_and_not_the_run(uninterrupted, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, 2 << 20) as mounted:
        if not mounted:
            # An ordinary user: the test below, of a file that may not grow, is what is left.
            return
        job = Job(tmp_path, checkpoints=disk / "checkpoints")
        running = job.start("--keep", "2", pace=0.01)
        try:
            eventually(lambda: list(job.checkpoints.glob("step-*/STATE.json")), 60)
            filler = disk / "filler"
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            log = tmp_path / "supervisor.log"
            eventually(lambda: "No space left" in log.read_text() or "full" in log.read_text(), 60)
            assert list(job.checkpoints.glob("step-*/STATE.json")), "the last good one stays"
            filler.unlink()
            assert running.wait(120) == 0, log.read_text()
        finally:
            end(running)
        assert job.weights() == uninterrupted
        job.assert_each_sample_once_per_epoch()


def test_a_file_that_may_not_grow_costs_checkpoints_and_not_the_run(uninterrupted, tmp_path):
    script = tmp_path / "small_files.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import resource, runpy, signal, sys
            import numpy
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            real = numpy.savez

            def savez(path, **arrays):  # two saves of three are cut short
                step = int(path.split(".tmp-")[1].split("/")[0].split("-")[1]) if ".tmp-" in path else 0
                most = 20_000 if step % 60 else resource.RLIM_INFINITY
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
                try:
                    real(path, **arrays)
                finally:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

            numpy.savez = savez
            sys.argv[0] = {str(tmp_path / "killed.py")!r}
            runpy.run_path(sys.argv[0], run_name="__main__")
            """
        )
    )
    job = Job(tmp_path)
    ended, summary = job.train(script=script)
    assert summary["state"] == "succeeded", ended.stderr
    assert "was not saved" in ended.stderr
    committed = [entry["step"] for entry in job.journal() if entry["what"] == "committed"]
    assert committed and all(step % 60 == 0 for step in committed)
    assert job.weights() == uninterrupted


def test_an_import_error_is_not_tried_again(tmp_path):
    script = tmp_path / "wrong.py"
    script.write_text("import a_module_that_nobody_wrote\n")
    ended, summary = Job(tmp_path).train(script=script)
    assert (ended.returncode, summary["state"], summary["attempts"]) == (1, "failed", 1)
    assert "user_fatal" in summary["reason"]


def test_a_killed_supervisor_leaves_one_writer_and_the_next_goes_on_with_it(uninterrupted, tmp_path):
    job = Job(tmp_path)
    first = job.start(pace=0.02)
    try:
        eventually(lambda: len(job.ledger()) > 2 * EVERY, 60)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        told = len(job.ledger())
        eventually(lambda: len(job.ledger()) > told + 5, 20)  # the script goes on by itself
        ended, summary = job.train(pace=0.02)
    finally:
        end(first)
    assert (summary["state"], summary["attempts"]) == ("succeeded", 1), ended.stderr
    steps = [entry["step"] for entry in job.ledger()]
    assert steps == list(range(1, STEPS + 1)), "one writer, which nobody started again"
    assert job.weights() == uninterrupted
    committed = [entry["step"] for entry in job.journal() if entry["what"] == "committed"]
    assert len(committed) == len(set(committed)) and committed[-1] == STEPS


# Only where torch is installed: it is too large for the environment that these tests make.
def under_torchrun_a_killed_supervisor_leaves_no_second_writer(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(
        "import os, sys, time\n"
        f"sys.path.insert(0, {str(ROOT / 'python')!r})\n"
        "from mainstay import train\n"
        "run = train.connect()\n"
        "for step in range(1, 200):\n"
        "    open('writers', 'a').write(f'{os.getpid()}\\n')\n"
        "    run.progress(step, total=199)\n"
        "    time.sleep(0.05)\n"
        "run.done(199)\n"
    )
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "1", str(script)]
    command = [os.environ["MAINSTAY_BIN"], "train", "--checkpoints", str(tmp_path / "checkpoints"), "--", *launcher]
    first = subprocess.Popen(command, cwd=tmp_path, env=environ(), start_new_session=True)
    try:
        eventually((tmp_path / "writers").exists, 60)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        subprocess.run(command, cwd=tmp_path, env=environ(), check=True, timeout=120)
    finally:
        end(first)
    pids = (tmp_path / "writers").read_text().split()
    assert len(set(pids)) == 1 and len(pids) == 199


if importlib.util.find_spec("torch"):
    test_under_torchrun_a_killed_supervisor_leaves_no_second_writer = (
        under_torchrun_a_killed_supervisor_leaves_no_second_writer
    )


def end(process):
    """Whatever is left of a run that failed its test."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
