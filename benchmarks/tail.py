"""The slowest deliveries of a room of 1,000 at 60 % load:
``python -m benchmarks.tail [--seconds 60] [--round 10] [--minutes 7] [--realtime]``.

The server has core 0 and the load generator core 1. What a delivery costs the server, one message at a time, measured
before each round, says how many messages a second fill its core; it is sent 60 % of them, evenly, by the clock: a message that could not be
sent or answered in time counts from when it was due. The servers are measured in turn, in rounds, and stopped
(SIGSTOP) while another one is.

A round is disturbed where server and generator together could have run but had to wait for their processors, or the
machine below took those away, for more than :data:`DISTURBED` of its time, or where the machine's speed changed, so that
the server's core was busy by :data:`OFF` more or less than was meant. Rounds go on until each server has as many
seconds of undisturbed ones as were asked for, or the minutes are over. Where there were too few, the least disturbed
ones make up for them: chosen by their disturbance alone, and the table says how much of it was in them.

With ``--realtime``, as root, servers and load generator run with real-time priority (SCHED_RR), so that a machine's
other programs get only what these leave of the two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.loads import LOADS, LoadFailed, run
from benchmarks.servers import BUILD, SERVERS, Running, build

PEERS = ("odac", "picows", "ws (Node)")
FIRST_PORT = 8790
MEMBERS = 1000
SHARE = 0.6
DISTURBED = 0.0005
"""Half of the share that the slowest deliveries are, where p99.9 is asked for: a round with less waiting than this has
its p99.9 mostly from the server.
"""

OFF = 0.08
"""The share of a core by which a round may be off the load that it was meant to have."""
WAKING = 10e-6
"""Seconds from the event to the processor that a thread needs at each wake-up, on an idle machine as well: no
disturbance.
"""


def _waited(running: Running) -> list[int]:
    """Of a server's main threads so far: nanoseconds that they waited for a processor, how often one was taken from
    them, and how often they woke up.

    Further threads are not counted: they and the main thread wait for each other, which is the server's own doing.
    """
    found = [0, 0, 0]
    for pid in running.pids():
        with contextlib.suppress(OSError):
            found[0] += int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            told = dict(line.split(":", 1) for line in lines if "ctxt_switches" in line)
            found[1] += int(told["nonvoluntary_ctxt_switches"])
            found[2] += int(told["voluntary_ctxt_switches"])
    return found


def _stolen() -> float:
    """Seconds that the machine below took from both cores so far; it counts in steps of 10 ms."""
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    return sum(int(line[8]) for line in lines if line[0] in ("cpu0", "cpu1")) / os.sysconf("SC_CLK_TCK")


@dataclass
class Round:
    """The results of one round.

    Args:
        rate: messages a second.
        began: by the monotonic clock, as its end.
        ended: by the same clock.
        busy: the share of its core that the server used.
        generator: the same of the load generator.
        waited: seconds that the two could not run although they had to, beyond :data:`WAKING` for each time.
        preempted: how often the processor was taken from one of the two.
        stolen: seconds that the machine below took.
        said: what the load generator says.
    """

    rate: float
    began: float
    ended: float
    busy: float
    generator: float
    waited: float
    preempted: int
    stolen: float
    said: dict[str, Any]

    @property
    def disturbance(self) -> float:
        """The CPU time of other programs as a share of the time that the server and the load generator needed."""
        return (self.waited + self.stolen) / (self.ended - self.began)

    @property
    def disturbed(self) -> bool:
        """Whether other programs may have caused its slowest deliveries, or it had another load."""
        return self.disturbance > DISTURBED or abs(self.busy - SHARE) > OFF


@dataclass
class Measured:
    """A server and its rounds."""

    running: Running
    rounds: list[Round] = field(default_factory=list)
    pauses: list[tuple[float, float, float | None]] = field(default_factory=list)

    def calm(self) -> float:
        """Seconds in rounds that were not disturbed."""
        return sum(each.ended - each.began for each in self.rounds if not each.disturbed)

    def counted(self, seconds: float) -> list[Round]:
        """The undisturbed rounds, and then the least disturbed ones, of so many seconds together."""
        found: list[Round] = []
        for each in sorted(self.rounds, key=lambda each: (each.disturbed, each.disturbance)):
            if sum(one.ended - one.began for one in found) < seconds:
                found.append(each)
        return found

    def signal(self, number: signal.Signals) -> None:
        """Send it to all the server's processes."""
        for pid in self.running.pids():
            os.kill(int(pid), number)


def calibrate(running: Running) -> float:
    """The rate that fills :data:`SHARE` of the server's core, at the speed that the machine has now."""
    return SHARE / run(running, LOADS["fan"], 1.0)[0] / MEMBERS


def measure(server: Measured, seconds: float) -> Round:
    """One round, at the rate of this hour, in an open loop, after one second that does not count.

    Raises:
        LoadFailed: the load generator gave up.
    """
    running = server.running
    rate = calibrate(running)
    command = [
        *("taskset", "-c", "1", str(BUILD / "wsload"), "room", "--histogram", "--port", str(running.port)),
        *("--conns", str(MEMBERS), "--rate", f"{rate:.3f}", "--secs", str(seconds), "--warm", "1"),
        *("--size", "64", *running.server.room),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    began, cpu, stolen, before = time.monotonic(), running.cpu(), _stolen(), _waited(running)
    time.sleep(seconds)
    cpu, ended, stolen = running.cpu() - cpu, time.monotonic(), _stolen() - stolen
    waited, preempted, woken = (late - early for late, early in zip(_waited(running), before, strict=True))
    output, error = process.communicate(timeout=60)
    if process.returncode:
        raise LoadFailed(f"{running.server.name}: {error.strip()[:300]}")
    said = json.loads(output)
    took = ended - began
    waiting = waited / 1e9 + said["run_delay_ms"] / 1e3 - WAKING * (woken + said["woken"])
    return Round(
        rate,
        began,
        ended,
        cpu / took,
        said["cpu_s"] / took,
        max(0.0, waiting),
        preempted + said["preempted"],
        stolen,
        said,
    )


def slowest(rounds: Sequence[Round], *shares: float) -> list[float]:
    """The milliseconds within which each share of all deliveries arrived, and the longest of all."""
    counts: Counter[float] = Counter()
    for each in rounds:
        for end, count in each.said["histogram"]:
            counts[end] += count
    found, passed, total = [], 0, counts.total()
    wanted = list(shares)
    for end in sorted(counts):
        passed += counts[end]
        while wanted and passed >= wanted[0] * total:
            found.append(end / 1000)
            wanted.pop(0)
    return [*found, max(each.said["local_max_us"] for each in rounds) / 1000]


HEAD = (
    "| server | messages/s | its core | the generator's | p50, ms | p99, ms | p99.9, ms | longest, ms | missing |"
    " collections | longest, ms | seconds counted | of | disturbance | of the worst round |"
)


def row(server: Measured, seconds: float) -> str:
    """A line of the table, of the least disturbed rounds."""
    name, rounds = server.running.server.name, server.counted(seconds)
    if not rounds:
        return f"| {name} | no round ended |"
    pauses = [
        by_clock if cpu is None else cpu
        for began, by_clock, cpu in server.pauses
        if any(each.began <= began < each.ended for each in rounds)
    ]
    took = sum(each.ended - each.began for each in rounds)
    cells = [
        name,
        f"{statistics.fmean(each.rate for each in rounds):.0f}",
        *(f"{statistics.fmean(getattr(each, key) for each in rounds):.0%}" for key in ("busy", "generator")),
        *(f"{each:.2f}" for each in slowest(rounds, 0.5, 0.99, 0.999)),
        sum(each.said["lost"] for each in rounds),
        *((len(pauses), f"{max(pauses):.1f}") if pauses else (0, "–")),
        f"{took:.0f}",
        f"{sum(each.ended - each.began for each in server.rounds):.0f}",
        f"{sum(each.waited + each.stolen for each in rounds) / took:.2%}",
        f"{max(each.disturbance for each in rounds):.2%}",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def rounds(servers: list[Measured], seconds: float, length: float, until: float) -> None:
    """Rounds in turn, until each server has so many seconds of undisturbed ones, or until that time."""
    while any(each.calm() < seconds for each in servers):
        for server in servers:
            if server.calm() >= seconds:
                continue
            if time.monotonic() + length + 5 > until:
                return
            server.signal(signal.SIGCONT)
            try:
                found = measure(server, length)
            except LoadFailed as error:
                print(error, flush=True)
                return
            finally:
                server.signal(signal.SIGSTOP)
            server.rounds.append(found)
            times = ", ".join(f"{each:.2f}" for each in slowest([found], 0.5, 0.99, 0.999))
            print(
                f"{server.running.server.name}: {times} ms; core {found.busy:.0%}, generator {found.generator:.0%};"
                f" waited {found.waited * 1000:.1f} ms, {found.preempted} times, stolen {found.stolen * 1000:.0f} ms;"
                f" sent {found.said['late_max_us'] / 1000:.2f} ms late at most{'; disturbed' * found.disturbed}",
                flush=True,
            )


def main() -> None:
    """Print each round, and a table of the undisturbed ones."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tail", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="undisturbed, of each server")
    parser.add_argument("--round", type=float, default=10, help="seconds of one round")
    parser.add_argument("--minutes", type=float, default=7, help="after which no further round begins")
    parser.add_argument("--servers", default=",".join(PEERS))
    parser.add_argument("--realtime", action="store_true", help="as root: ahead of the machine's other programs")
    options = parser.parse_args()
    build()
    if options.realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))  # what this starts inherits it
    until = time.monotonic() + options.minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        servers: list[Measured] = []
        files: list[Path] = []
        with contextlib.ExitStack() as stack:
            for number, name in enumerate(options.servers.split(",")):
                files.append(Path(folder) / f"{number}.json")
                environment = {"BENCH_PAUSES": str(files[-1])}
                running = stack.enter_context(Running(SERVERS[name], FIRST_PORT + number, environment))
                servers.append(Measured(running))
                stack.callback(servers[-1].signal, signal.SIGCONT)
                calibrate(running)  # warms up
                servers[-1].signal(signal.SIGSTOP)
            rounds(servers, options.seconds, options.round, until)
        for server, file in zip(servers, files, strict=True):
            server.pauses = json.loads(file.read_text())  # a server that wrote none would seem never to pause
    print("\n".join([HEAD, "|---|" + "---:|" * 14, *(row(each, options.seconds) for each in servers)]))


if __name__ == "__main__":
    main()
