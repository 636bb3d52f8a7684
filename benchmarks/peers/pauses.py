"""Times every collection of the garbage collector, where $BENCH_PAUSES names the file that gets them at the end.

Each is the time when it began (``time.monotonic()``) and its milliseconds by the clock and of CPU: by the clock alone, a
busy machine's other work would count as well.
"""

import atexit
import gc
import json
import os
import signal
import sys
import time
from pathlib import Path

pauses: list[tuple[float, float, float]] = []
began = (0.0, 0.0)


def note(phase, info):
    global began
    if phase == "start":
        began = (time.monotonic(), time.thread_time())
    else:
        pauses.append((began[0], (time.monotonic() - began[0]) * 1000, (time.thread_time() - began[1]) * 1000))


def write(path):
    Path(path).write_text(json.dumps(pauses))


if "BENCH_PAUSES" in os.environ:
    gc.callbacks.append(note)
    atexit.register(write, os.environ["BENCH_PAUSES"])
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
