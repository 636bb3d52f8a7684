"""The loads, and one run of one of them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

from benchmarks.servers import BUILD, Running


@dataclass(frozen=True)
class Load:
    """One kind of load on a server.

    Args:
        name: as the tables show it.
        mode: of the load generator.
        arguments: of the load generator.
        path: ``echo``, ``room`` or ``guarded``: which of the server's paths.
        unit: what one operation is.
        servers: those that it is for; empty: all.
    """

    name: str
    mode: str
    arguments: tuple[str, ...]
    path: str
    unit: str
    servers: tuple[str, ...] = ()


_GROWTH = ("odac", "C loop", "picows", "uWebSockets")
_LARGE = ("odac", "picows", "websockets", "aiohttp", "ws (Node)", "uWebSockets")  # the C loop has a buffer of 8 KiB
_GUARDED = ("odac", "odac (plain uvicorn)", "odac (plain ASGI)", "C loop", "picows", "uWebSockets")
_ALL = (
    Load("echo", "echo", ("--conns", "100"), "echo", "message in and out, 100 connections, 64-byte JSON"),
    Load("echo10k", "echo", ("--conns", "9000"), "echo", "message in and out, 9,000 connections", _GROWTH),
    Load("pipe", "echo", ("--conns", "20", "--pipeline", "10"), "echo", "message, 20 connections with ten in flight"),
    Load("fan", "fanout", ("--conns", "1000"), "room", "delivery in a room of 1,000, one message at a time"),
    Load("fanw8", "fanout", ("--conns", "1000", "--window", "8"), "room", "the same with eight messages in flight"),
    Load("fan10", "fanout", ("--conns", "10"), "room", "delivery in a room of 10", _GROWTH),
    Load("fan100", "fanout", ("--conns", "100"), "room", "delivery in a room of 100", _GROWTH),
    Load("fan10k", "fanout", ("--conns", "9000"), "room", "delivery in a room of 9,000", _GROWTH),
    Load("echo1KiB", "echo", ("--conns", "100", "--size", "1024"), "echo", "echo of 1 KiB", _GROWTH),
    Load("echo64KiB", "echo", ("--conns", "20", "--size", "65536"), "echo", "echo of 64 KiB", _LARGE),
    Load("echo1MiB", "echo", ("--conns", "4", "--size", "1048576"), "echo", "echo of 1 MiB", _LARGE),
    Load("connect", "connect", ("--conns", "64"), "echo", "handshake"),
    Load(
        "guarded",
        "connect",
        ("--conns", "64"),
        "guarded",
        "handshake with session cookie, token and one middleware (only odac looks at them)",
        _GUARDED,
    ),
)
LOADS = {load.name: load for load in _ALL}


class LoadFailed(Exception):
    """The load generator failed; the message is from it."""


def run(
    running: Running, load: Load, seconds: float, warm: float = 0.4, extra: tuple[str, ...] = ()
) -> tuple[float, dict[str, Any]]:
    """Load a running server once, from core 1.

    Returns:
        the server's CPU seconds per operation, between warm-up and end only, and what the load generator says.
    """
    where = running.server.where(load.path)
    seconds *= running.server.patience
    size = () if "--size" in load.arguments else ("--size", "64")
    command = [
        *("taskset", "-c", "1", str(BUILD / "wsload"), load.mode, "--port", str(running.port)),
        *("--secs", str(seconds), "--warm", str(warm), *size, *where, *load.arguments, *extra),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    started = process.stdout.readline().strip() == "MEASURING"
    before = running.cpu()
    line = process.stdout.readline() if started else ""
    after = running.cpu()
    try:
        _, error = process.communicate(timeout=120 + seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise LoadFailed(f"{running.server.name}, {load.name}: timed out") from None
    if process.returncode or not line:
        raise LoadFailed(f"{running.server.name}, {load.name}: {error.strip()[:300]}")
    said = json.loads(line)
    if not said["count"]:
        raise LoadFailed(f"{running.server.name}, {load.name}: nothing came back")
    return (after - before) / said["count"], said


def idle(running: Running, connections: int) -> float:
    """Resident bytes per connection that is open and silent."""
    before = running.rss()
    process = subprocess.Popen(
        [
            str(BUILD / "wsload"),
            "idle",
            "--port",
            str(running.port),
            "--conns",
            str(connections),
            "--secs",
            "3",
            *running.server.echo,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    after = running.rss()
    process.wait(30)
    return (after - before) / connections
