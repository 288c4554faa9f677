"""A budget tracker as a list of measurements: each is kept for ever, and a status reads them all. What the figures of
`cargo xtask bench slo` are compared with. Prints one line of JSON for each figure."""

import json
import resource
import time
from datetime import datetime, timedelta


class ListTracker:
    def __init__(self, target, budget, window):
        self.target, self.budget, self.window = target, budget, window
        self.measurements = []

    def record(self, value, at):
        missed = value < self.target
        self.measurements.append({"at": at, "value": value, "target": self.target, "missed": missed})

    def status(self, now):
        start = now - self.window
        recent = [one for one in self.measurements if one["at"] >= start]
        if not recent:
            return "no_data"
        missed = sum(1 for one in recent if one["missed"])
        left = self.budget - missed / len(recent) * 100
        if left <= 0:
            return "exhausted"
        if left < self.budget * 0.25:
            return "critical"
        return "warning" if left < self.budget * 0.5 else "healthy"


def memory_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def figure(name, value, what):
    print(json.dumps({"figure": name, "value": round(value, 4), "what": what}))


def main():
    events = 1_000_000
    now = datetime(2026, 3, 1)
    times = [now - timedelta(seconds=2.592 * n) for n in range(events)]
    before = memory_mib()
    tracker = ListTracker(target=0.999, budget=0.1, window=timedelta(days=30))
    started = time.perf_counter()
    for n, at in enumerate(times):
        tracker.record(0.0 if n % 1000 == 0 else 1.0, at)
    figure("event_ns", (time.perf_counter() - started) / events * 1e9, "ns for one measurement")
    figure("resident_mib", memory_mib() - before, "MiB, one objective with 1,000,000 measurements")
    started = time.perf_counter()
    tracker.status(now)
    figure("answer_us", (time.perf_counter() - started) * 1e6, "us for one status over 1,000,000 measurements")


main()
