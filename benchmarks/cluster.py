"""Measure two processes on one broker:
``python -m benchmarks.cluster [--kinds …] [--rounds 5] [--seconds 2] [--write]``.

It needs redis-server and nats-server. All servers and the broker share core 0, the load generator has core 1: what can
be compared is the CPU per delivery, and deliveries per second *of that one core*.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from benchmarks.loads import LoadFailed
from benchmarks.servers import BUILD, SERVERS, Running, Server, build

FIRST_PORT = 8790
BASE = "odac, one process"


@dataclass(frozen=True)
class Kind:
    """A way of reaching members in another process.

    Args:
        name: as the tables show it.
        server: which of the compared servers.
        broker: ``local``, ``redis``, ``nats``, or nothing: one process.
        environment: of the processes, with ``{broker}`` to fill in.
        note: what is set other than by default.
    """

    name: str
    server: str
    broker: str
    environment: dict[str, str] = field(default_factory=dict)
    note: str = "defaults"

    @property
    def own(self) -> bool:
        """Whether it is Odac."""
        return self.server == "odac"


_CORE = "channels_redis.core.RedisChannelLayer"
_PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"
_REDIS = {"PEER_REDIS": "{broker}"}
_ALL = (
    Kind(BASE, "odac", ""),
    Kind("odac, local://", "odac", "local", {"ODAC_BROKER": "{broker}"}),
    Kind("odac, redis://", "odac", "redis", {"ODAC_BROKER": "{broker}"}),
    Kind("odac, nats://", "odac", "nats", {"ODAC_BROKER": "{broker}"}),
    Kind("python-socketio, AsyncRedisManager", "python-socketio", "redis", _REDIS),
    Kind(
        "Channels, channels_redis",
        "Django Channels",
        "redis",
        {**_REDIS, "PEER_LAYER": _CORE},
        "RedisChannelLayer with capacity 10,000 (at 100 it drops messages)",
    ),
    Kind(
        "Channels, channels_redis pub/sub",
        "Django Channels",
        "redis",
        {**_REDIS, "PEER_LAYER": _PUBSUB},
        "RedisPubSubChannelLayer, its newer layer",
    ),
    Kind("Socket.IO (Node), Redis adapter", "Socket.IO (Node)", "redis", _REDIS, "@socket.io/redis-adapter"),
)
KINDS = {kind.name: kind for kind in _ALL}


def broker_of(name: str, port: int) -> tuple[Server, str]:
    """How a broker is started, and its URL."""
    if name == "local":
        return Server("local", f"{{own}}/python local_proxy.py {BUILD}/l{port} {{port}}"), f"local://{BUILD}/l{port}"
    if name == "redis":
        configuration = BUILD / "redis.conf"
        configuration.write_text('bind 127.0.0.1\nsave ""\nappendonly no\n')
        return Server("redis", f"redis-server {configuration} --port {{port}}"), f"redis://127.0.0.1:{port}"
    return Server("nats", "nats-server -a 127.0.0.1 -p {port}"), f"nats://127.0.0.1:{port}"


class Cluster:
    """A broker and two processes, or one process and no broker, while they run."""

    def __init__(self, kind: Kind, workers: list[Running], broker: Running | None) -> None:
        self.kind = kind
        self.workers = workers
        self.broker = broker

    def cpu(self) -> list[float]:
        """CPU seconds so far of the first process, the second process and the broker."""
        return [
            each.cpu() if each else 0.0 for each in ([*self.workers, None][0], [*self.workers, None][1], self.broker)
        ]

    def load(
        self, mode: str, *arguments: str, seconds: float, second: bool = True
    ) -> tuple[list[float], dict[str, Any]]:
        """Run the load generator on core 1.

        Args:
            mode: of the load generator.
            *arguments: of the load generator.
            seconds: how long it measures.
            second: half of the connections go to the second process.

        Returns:
            CPU seconds of first process, second process and broker meanwhile, and what the load generator says.
        """
        ports = ["--port", str(self.workers[0].port)]
        if second and len(self.workers) > 1:
            ports += ["--port2", str(self.workers[1].port)]
        size = () if "--msg" in self.workers[0].server.room else ("--size", "64")
        command = [
            *("taskset", "-c", "1", str(BUILD / "wsload"), mode, *ports),
            *("--secs", str(seconds), "--warm", "0.5", *size, *self.workers[0].server.room, *arguments),
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        started = process.stdout.readline().strip() == "MEASURING"
        before = self.cpu()
        line = process.stdout.readline() if started else ""
        after = self.cpu()
        try:
            _, error = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            raise LoadFailed(f"{self.kind.name}, {mode}: timed out") from None
        if process.returncode or not line:
            raise LoadFailed(f"{self.kind.name}, {mode}: {error.strip()[:300]}")
        return [late - early for early, late in zip(before, after, strict=True)], json.loads(line)


@contextlib.contextmanager
def running(kind: Kind, port: int) -> Iterator[Cluster]:
    """Start what a kind needs, from this port on."""
    with contextlib.ExitStack() as stack:
        broker, environment = None, {}
        if kind.broker:
            server, url = broker_of(kind.broker, port)
            broker = stack.enter_context(Running(server, port))
            environment = {key: value.replace("{broker}", url) for key, value in kind.environment.items()}
        count = 2 if kind.broker else 1
        workers = [stack.enter_context(Running(SERVERS[kind.server], port + 1 + i, environment)) for i in range(count)]
        yield Cluster(kind, workers, broker)


@dataclass
class Fan:
    """The CPU time of each round in a room of 1,000, with so many messages in flight.

    Args:
        cost: CPU seconds per delivery of all processes and the broker.
        rate: deliveries per second.
        shares: of first process, second process, broker.
    """

    cost: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    shares: list[list[float]] = field(default_factory=list)


@dataclass
class Results:
    """All results of one run, from which ``planning`` computes."""

    day: str = ""
    machine: str = ""
    load_before: float = 0.0
    rounds: int = 0
    seconds: float = 0.0
    fan: dict[str, Fan] = field(default_factory=dict)
    single: dict[str, Fan] = field(default_factory=dict)
    latency: dict[str, dict[str, float]] = field(default_factory=dict)
    losses: list[dict[str, Any]] = field(default_factory=list)
    bystander: dict[str, dict[str, float]] = field(default_factory=dict)
    costs: dict[str, dict[str, float]] = field(default_factory=dict)
    memory: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)


def measure_fans(
    clusters: list[Cluster], window: int, rounds: int, seconds: float, fans: dict[str, Fan], failed: dict[str, str]
) -> None:
    """The room load with ``window`` messages in flight, in rounds over all kinds, so that changes of the machine
    affect all of them.

    The load generator fails unless every member has got as many messages as every other.
    """
    for round_ in range(rounds + 1):
        for cluster in clusters:
            name = cluster.kind.name
            if name in failed:
                continue
            try:
                load = ("fanout", "--conns", "1000", "--window", str(window))
                cpu, said = cluster.load(*load, seconds=seconds)
                if not said["count"]:  # slow ones do not finish one round in that time
                    cpu, said = cluster.load(*load, seconds=8 * seconds)
            except LoadFailed as error:
                failed[name] = str(error)
                print(error, file=sys.stderr)
                continue
            if round_ and said["count"]:  # the first round warms up
                fan = fans.setdefault(name, Fan())
                fan.cost.append(sum(cpu) / said["count"])
                fan.rate.append(said["deliveries_per_s"])
                fan.shares.append([each / said["count"] for each in cpu])


def measure_latency(cluster: Cluster, seconds: float, rate: float = 10, members: int = 100) -> dict[str, float]:
    """The latency to members in the publisher's process and in the other one, at a rate far below the maximum."""
    _, said = cluster.load("room", "--conns", str(members), "--rate", str(rate), seconds=seconds)
    return {key: said[key] for key in ("local_p50_us", "local_p99_us", "remote_p50_us", "remote_p99_us", "lost")}


def measure_losses(cluster: Cluster, rates: list[float], seconds: float) -> Iterator[dict[str, Any]]:
    """Complete delivery at rising rates, with twenty members, half of them in the other process."""
    for rate in rates:
        _, said = cluster.load("room", "--conns", "20", "--rate", str(rate), seconds=seconds)
        yield {
            "kind": cluster.kind.name,
            "rate": rate,
            **{key: said[key] for key in ("sent", "count", "lost", "disorder", "closed", "secs")},
            "remote_p99_us": said["remote_p99_us"],
        }


def measure_bystander(cluster: Cluster, seconds: float, rate: float = 1000) -> dict[str, float]:
    """The cost of a message for a process without members of its room: its CPU time, less that of an idle process."""
    other = cluster.workers[1]
    before = other.cpu()
    time.sleep(seconds)
    idle = (other.cpu() - before) / seconds
    cpu, said = cluster.load("room", "--conns", "10", "--rate", str(rate), seconds=seconds, second=False)
    taken = cpu[1] / said["secs"]
    return {
        "messages": said["sent"],
        "idle_cpu_share": idle,
        "cpu_share": taken,
        "seconds_per_message": (taken - idle) * said["secs"] / said["sent"],
        "member_seconds_per_message": cpu[0] / said["sent"],
    }


FEW, MANY = 20, 400


def measure_costs(cluster: Cluster, seconds: float) -> dict[str, float]:
    """Split the cost of a message into its parts, from rooms of two sizes, one message at a time: no two share a turn.

    Returns:
        CPU seconds: ``deliver`` per member, ``send`` and ``receive`` per message of the process that does it,
        ``broker_in`` and ``broker_out`` per message that the broker receives and sends.
    """

    def message(members: int, second: bool = True) -> list[float]:
        cpu, said = cluster.load("fanout", "--conns", str(members), seconds=seconds, second=second)
        return [each * members / said["count"] for each in cpu]

    few, many = message(FEW), message(MANY)
    deliver = (sum(many[:2]) - sum(few[:2])) / (MANY - FEW)
    if not cluster.kind.broker:
        return {"deliver": deliver, "send": few[0] - deliver * FEW}
    # The publisher's process has members as well, so the broker sends each message back to it. At one rate for both,
    # because a broker that gets several messages at once has less work for each.
    copies = []
    for second in (True, False):
        cpu, said = cluster.load("room", "--conns", "2", "--rate", "500", seconds=seconds, second=second)
        copies.append(cpu[2] / said["sent"])
    to_two, to_one = copies
    out = min(max(0.0, to_two - to_one), to_two / 2)
    return {
        "deliver": deliver,
        "send": max(0.0, few[0] - deliver * FEW / 2),
        "receive": max(0.0, few[1] - deliver * FEW / 2),
        "broker_in": to_two - 2 * out,
        "broker_out": out,
    }


def measure_memory(cluster: Cluster, connections: int = 4000) -> float:
    """Resident bytes per connection that is a member of a room and silent."""
    worker = cluster.workers[0]
    before = worker.rss()
    process = subprocess.Popen(
        [
            str(BUILD / "wsload"),
            "idle",
            "--port",
            str(worker.port),
            "--conns",
            str(connections),
            "--secs",
            "3",
            *worker.server.room,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    after = worker.rss()
    process.wait(60)
    return (after - before) / connections


def measure(names: list[str], rounds: int, seconds: float, rates: list[float]) -> Results:
    """Run all measurements."""
    from benchmarks.report import machine

    results = Results(date.today().isoformat(), machine(), os.getloadavg()[0], rounds, seconds)
    with contextlib.ExitStack() as stack:
        clusters = [stack.enter_context(running(KINDS[name], FIRST_PORT + 10 * i)) for i, name in enumerate(names)]
        measure_fans(clusters, 8, rounds, seconds, results.fan, results.failed)
        measure_fans(clusters, 1, rounds, seconds, results.single, results.failed)
        for cluster in clusters:
            with contextlib.suppress(LoadFailed):
                results.latency[cluster.kind.name] = measure_latency(cluster, 2 * seconds)
    for name in names:
        kind = KINDS[name]
        if not kind.own:
            continue
        # Measured alone, because the probes of other runs would be counted as well.
        with running(kind, FIRST_PORT) as cluster:
            if kind.broker:
                results.bystander[name] = measure_bystander(cluster, 2 * seconds)
            parts = [measure_costs(cluster, seconds) for _ in range(rounds)]
            results.costs[name] = {key: statistics.median(part[key] for part in parts) for key in parts[0]}
            if kind.broker:
                results.losses += measure_losses(cluster, rates, seconds)
            else:
                results.memory = measure_memory(cluster)
    return results


def main() -> None:
    """Measure what the arguments say, print it, and with ``--write`` put it into ``docs/``."""
    from benchmarks import cluster_report, planning

    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--kinds", default="", help=f"of {'; '.join(KINDS)} (separated by semicolons); default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one load")
    parser.add_argument("--rates", default="100,1000,5000,20000", help="messages per second for the search for losses")
    parser.add_argument("--write", action="store_true", help="write the results into docs/")
    parser.add_argument(
        "--render", action="store_true", help="measure nothing: write the pages anew from the last results"
    )
    options = parser.parse_args()
    if options.render:
        cluster_report.write(cluster_report.read())
        planning.write()
        return
    for program in ("redis-server", "nats-server"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is missing: apt-get install {program}")
    build()
    names = [name.strip() for name in options.kinds.split(";") if name.strip()] or list(KINDS)
    results = measure(names, options.rounds, options.seconds, [float(rate) for rate in options.rates.split(",")])
    print(cluster_report.page(results))
    if options.write:
        cluster_report.write(results)
        planning.write()
    wrong = [each for each in results.losses if each["lost"] or each["disorder"]]
    if wrong or results.failed:
        raise SystemExit(f"lost, out of order or failed: {json.dumps([*wrong, results.failed])}")


if __name__ == "__main__":
    main()
