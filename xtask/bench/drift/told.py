"""What a peer tells: seconds to load and to compute, and its peak of memory."""

import json
import resource
import time


def clock():
    return time.perf_counter(), time.process_time()


def tell(began, loaded, done):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {"load_s": loaded[0] - began[0], "compute_s": done[0] - loaded[0], "compute_cpu_s": done[1] - loaded[1], "peak_mib": peak}
    print(json.dumps(figures))
