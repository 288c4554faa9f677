"""The digits example, killed with SIGKILL again and again: the same weights, and each sample exactly once per epoch."""

import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples/training/digits/train.py"
EPOCHS, EVERY, STEPS_PER_EPOCH, TRAINED = 12, 40, 45, 1437
STEPS = EPOCHS * STEPS_PER_EPOCH
KILLS = 20

# Runs the example, and ends it without a farewell where told: `step:N` after step N, `save:N:K` at the K-th thing that the
# first save after step N does to the disk, before it is done when K is even and after it when K is odd.
KILLED = textwrap.dedent(
    """
    import os, runpy, shutil, signal, sys
    sys.path.insert(0, {python!r})
    from mainstay import train

    kind, step, *rest = os.environ["KILL"].split(":")
    state = {{"step": 0, "calls": 0}}

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def watched(real):
        def call(*arguments, **named):
            armed = kind == "save" and state["step"] >= int(step)
            at = state["calls"]
            state["calls"] += armed
            if armed and at == int(rest[0]) // 2 and int(rest[0]) % 2 == 0:
                die()
            done = real(*arguments, **named)
            if armed and at == int(rest[0]) // 2:
                die()
            return done
        return call

    tell = train.Run.progress
    def progress(self, at, **named):
        tell(self, at, **named)
        state["step"] = at
        if kind == "step" and at >= int(step):
            die()
    train.Run.progress = progress
    os.makedirs, os.fsync, os.rename = watched(os.makedirs), watched(os.fsync), watched(os.rename)
    sys.argv = [{example!r}, *sys.argv[1:]]
    runpy.run_path({example!r}, run_name="__main__")
    """
)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    place = tmp_path_factory.mktemp("uninterrupted")
    ended = start(place, "none:0")
    assert ended.returncode == 0, ended.stderr
    return (place / "model.npz").read_bytes(), seen(place)


def start(place, kill):
    script = place / "killed.py"
    script.write_text(KILLED.format(python=str(ROOT / "python"), example=str(EXAMPLE)))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY_")}
    arguments = ["--epochs", EPOCHS, "--checkpoint-every", EVERY, "--ledger", "ledger.jsonl"]
    command = [sys.executable, script, *map(str, arguments)]
    return subprocess.run(command, cwd=place, env={**environ, "KILL": kill}, capture_output=True, text=True)


def seen(place):
    """For each step the samples of the last attempt at it: those that the weights come from."""
    lines = (place / "ledger.jsonl").read_text().splitlines()
    return {entry["step"]: entry for entry in map(json.loads, lines)}


def test_killed_twenty_times_the_weights_are_the_same_bytes(uninterrupted, tmp_path):
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)  # shown where the test fails
    chance = random.Random(seed)
    kills, step = 0, 0
    while kills < KILLS:
        # Everything that a save does to the disk: it makes a directory, syncs two files, the manifest and the directory, gives
        # it its name, syncs the parent. Before or after each of them.
        in_save = kills % 2 == 0
        step = (step + chance.randrange(1, STEPS // KILLS * 2)) % (STEPS - EVERY)
        kill = f"save:{step}:{chance.randrange(14)}" if in_save else f"step:{step}"
        ended = start(tmp_path, kill)
        if ended.returncode == 0:
            (tmp_path / "model.npz").unlink()  # it was through: begin again, with what is left of the plan
            assert kills > 0
            for leftover in (tmp_path / "checkpoints").iterdir():
                subprocess.run(["rm", "-r", leftover], check=True)
            (tmp_path / "ledger.jsonl").unlink()
            continue
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        kills += 1
    ended = start(tmp_path, "none:0")
    assert ended.returncode == 0, ended.stderr
    weights, ledger = uninterrupted
    assert (tmp_path / "model.npz").read_bytes() == weights, f"seed {seed}"
    again = seen(tmp_path)
    assert {step: entry["ids"] for step, entry in again.items()} == {step: entry["ids"] for step, entry in ledger.items()}
    assert sorted(again) == list(range(1, STEPS + 1))
    by_epoch = collections.defaultdict(collections.Counter)
    for entry in again.values():
        by_epoch[entry["epoch"]].update(entry["ids"])
    assert sorted(by_epoch) == list(range(EPOCHS))
    assert all(epoch == collections.Counter(range(TRAINED)) for epoch in by_epoch.values()), f"seed {seed}"


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "missing", "without manifest"])
def test_a_damaged_newest_checkpoint_is_passed_over_and_kept(uninterrupted, tmp_path, damage):
    assert start(tmp_path, f"step:{EVERY * 3 + 5}").returncode == -signal.SIGKILL
    newest = sorted((tmp_path / "checkpoints").glob("step-*"))[-1]
    assert newest.name == f"step-{EVERY * 3:010d}-a1"
    state = newest / ("MANIFEST.json" if damage == "without manifest" else "state.npz")
    whole = state.read_bytes()
    if damage == "truncated":
        state.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":
        state.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    elif damage == "empty":
        state.write_bytes(b"")
    else:
        state.unlink()
    ended = start(tmp_path, f"step:{EVERY * 2 + 1}")  # the first step after the checkpoint before
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert newest.exists()
    steps = [json.loads(line)["step"] for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert steps[-1] == EVERY * 2 + 1
    assert start(tmp_path, "none:0").returncode == 0
    assert (tmp_path / "model.npz").read_bytes() == uninterrupted[0]
