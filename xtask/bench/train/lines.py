"""Tells as many steps as it is asked to, each with a loss, without the pause between two that scripts get; prints what that cost."""

import json
import sys
import time

sys.path.insert(0, sys.argv[1])
from mainstay import train  # noqa: E402

STEPS = int(sys.argv[2])

train.QUIET_S = 0
run = train.connect()
lines = 0
spent = 0
for step in range(1, STEPS + 1):
    began = time.process_time_ns()
    run.progress(step, total=STEPS, loss=1.0)
    spent += time.process_time_ns() - began
    while run._wire._unsent:  # the supervisor reads as fast as it can: nothing is to be dropped here
        time.sleep(0.001)
        run._listen()
        run._wire._push()
run.done(STEPS)
with open("lines.json", "w") as file:
    json.dump({"lines": 2 * STEPS - run.dropped, "told_s": spent / 1e9, "all_s": time.process_time()}, file)
