#!/usr/bin/env python3
"""A small real training job that can be killed at any moment and still ends with the same weights, byte for byte.

A multilayer perceptron on scikit-learn's digits, in numpy: SGD with momentum, a new order of the samples for every
epoch, noise on the inputs. What makes it exact is that *everything* that decides the next step is in the checkpoint:
weights, velocities, both random generators, and the position in the data.

    mainstay train --checkpoints runs/digits --checkpoint-every 100 --gate 'metrics.accuracy >= 0.95' -- python train.py

It also runs alone, without mainstay: `python train.py`.
"""

import argparse
import hashlib
import json
import os
import pathlib
import sys
import time

# Sums of floats depend on their order, and threads change it.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np

try:
    from mainstay import train as mainstay
except ImportError:  # in a checkout, without `pip install ./python`
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "python"))
    from mainstay import train as mainstay

HELD_OUT = 360
"""Samples of the 1797 that are never trained on."""


def main():
    options = arguments()
    run = mainstay.connect()
    with run.phase("load"):
        data = Data(options.batch)
        job = Job(options.seed, options.hidden)
        start = run.resume()
        if start:
            job.load(start.path)
    total = options.epochs * data.steps_per_epoch
    with Ledger(options.ledger, run.attempt) as ledger:
        while job.step < total:
            if not train_step(run, job, data, ledger, options, total):
                return
    np.savez(options.out, **job.weights)
    print(f"accuracy {data.accuracy(job.weights):.4f}  sha256 {job.digest()}")
    run.done(job.step, artifact=options.out)


def train_step(run, job, data, ledger, options, total):
    """One batch; false when the supervisor wants the run to end here."""
    ids = data.batch(job)
    step = job.step + 1
    loss = None
    if not run.skips(step):
        loss = job.learn(data.inputs[ids], data.labels[ids])
        ledger.note(step, job.epoch, ids)
    job.advance(len(ids), data)
    run.progress(step, total=total, samples=job.samples, loss=loss)
    if options.pace:
        time.sleep(options.pace)
    stopping = run.stop_requested
    if stopping or step == total or run.save_due(step, default_every=options.checkpoint_every):
        metrics = {"accuracy": data.accuracy(job.weights), "n": HELD_OUT}
        with run.checkpoint(step, cursor=job.cursor(), metrics=metrics) as directory:
            job.save(directory)
    return not stopping


class Data:
    """The digits, split once and for ever."""

    def __init__(self, batch):
        from sklearn.datasets import load_digits  # slow to import, and not needed for --help

        digits = load_digits()
        order = np.random.Generator(np.random.PCG64(7)).permutation(len(digits.target))
        inputs, labels = digits.data[order] / 16.0, digits.target[order]
        self.inputs, self.labels = inputs[HELD_OUT:], labels[HELD_OUT:]
        self.test_inputs, self.test_labels = inputs[:HELD_OUT], labels[:HELD_OUT]
        self.size = len(self.labels)
        self.batch_size = batch
        self.steps_per_epoch = -(-self.size // batch)

    def batch(self, job):
        """The ids of the samples at the job's position."""
        if job.order is None:
            job.order = np.random.Generator(np.random.PCG64([job.seed, job.epoch])).permutation(self.size)
        return job.order[job.position : job.position + self.batch_size]

    def accuracy(self, weights):
        _, scores = forward(weights, self.test_inputs)
        return float((scores.argmax(axis=1) == self.test_labels).mean())


class Job:
    """All that a step reads and changes."""

    RATE, MOMENTUM, NOISE = 0.05, 0.9, 0.05

    def __init__(self, seed, hidden):
        self.seed, self.step, self.epoch, self.position, self.samples = seed, 0, 0, 0, 0
        self.order = None  # follows from seed and epoch
        self.noise = np.random.Generator(np.random.PCG64(seed))
        self.weights = {
            "w1": self.noise.normal(0, 0.15, (64, hidden)),
            "b1": np.zeros(hidden),
            "w2": self.noise.normal(0, 0.15, (hidden, 10)),
            "b2": np.zeros(10),
        }
        self.velocity = {name: np.zeros_like(value) for name, value in self.weights.items()}

    def learn(self, inputs, labels):
        inputs = inputs + self.noise.normal(0, self.NOISE, inputs.shape)
        hidden, scores = forward(self.weights, inputs)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        rows = np.arange(len(labels))
        loss = float(-np.log(shares[rows, labels] + 1e-12).mean())
        shares[rows, labels] -= 1
        shares /= len(labels)
        back = (shares @ self.weights["w2"].T) * (hidden > 0)
        gradients = {"w1": inputs.T @ back, "b1": back.sum(0), "w2": hidden.T @ shares, "b2": shares.sum(0)}
        for name, gradient in gradients.items():
            self.velocity[name] = self.MOMENTUM * self.velocity[name] - self.RATE * gradient
            self.weights[name] = self.weights[name] + self.velocity[name]
        return loss

    def advance(self, count, data):
        self.step += 1
        self.position += count
        self.samples += count
        if self.position >= data.size:
            self.epoch, self.position, self.order = self.epoch + 1, 0, None

    def cursor(self):
        return {"epoch": self.epoch, "position": self.position, "samples": self.samples, "step": self.step}

    def save(self, directory):
        velocity = {f"velocity_{name}": value for name, value in self.velocity.items()}
        np.savez(os.path.join(directory, "state.npz"), **self.weights, **velocity)
        with open(os.path.join(directory, "position.json"), "w") as file:
            json.dump({**self.cursor(), "seed": self.seed, "noise": self.noise.bit_generator.state}, file)

    def load(self, directory):
        with np.load(os.path.join(directory, "state.npz")) as state:
            self.weights = {name: state[name] for name in self.weights}
            self.velocity = {name: state[f"velocity_{name}"] for name in self.weights}
        with open(os.path.join(directory, "position.json")) as file:
            saved = json.load(file)
        self.noise.bit_generator.state = saved["noise"]
        self.seed, self.step, self.samples = saved["seed"], saved["step"], saved["samples"]
        self.epoch, self.position = saved["epoch"], saved["position"]

    def digest(self):
        return hashlib.sha256(b"".join(self.weights[name].tobytes() for name in sorted(self.weights))).hexdigest()


class Ledger:
    """Writes down which samples each step saw, where asked; the tests read it."""

    def __init__(self, path, attempt):
        self.file = open(path, "a") if path else None
        self.attempt = attempt

    def note(self, step, epoch, ids):
        if self.file:
            line = {"attempt": self.attempt, "step": step, "epoch": epoch, "ids": ids.tolist()}
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.file:
            self.file.close()


def forward(weights, inputs):
    hidden = np.maximum(inputs @ weights["w1"] + weights["b1"], 0)
    return hidden, hidden @ weights["w2"] + weights["b2"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint-every", type=int, default=100, help="steps, where the supervisor does not say")
    parser.add_argument("--out", default="model.npz", help="the final weights")
    parser.add_argument("--ledger", help="append which samples each step saw to this file")
    parser.add_argument("--pace", type=float, default=0, help="seconds to sleep after each step, to watch it")
    return parser.parse_args()


if __name__ == "__main__":
    main()
