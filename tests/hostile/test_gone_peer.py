"""A peer that is gone without a word: no FIN, no RST, nothing ever again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from odac.notices import LINES
from tests.hostile.links import Link, link
from tests.hostile.peers import DEADLINE, TEXT, frame
from tests.hostile.processes import ROOT, ServerProcess, needs_proc, serving

INTERVAL, TIMEOUT = 0.5, 1.5
COUNT = 20

CLIENT = f"""
import sys
from tests.hostile.links import link
from tests.hostile.peers import PING, PONG, TEXT, frame
host, port = sys.argv[1], int(sys.argv[2])
links = [link(port, sys.argv[3], host=host) for _ in range({COUNT})]
if sys.argv[3] == "/sleep":
    for each in links:
        each.send(frame(TEXT, b"1") * 10)
print("connected", flush=True)
while True:
    for each in links:
        for opcode, payload in each.next():
            if opcode == PING:
                each.send(frame(PONG, payload))
"""
"""A client that answers every ping, for as long as it can."""


@contextmanager
def client(host: str, port: int, path: str, wrap: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*wrap, sys.executable, "-c", CLIENT, host, str(port), path], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n"
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def is_noticed(server: ServerProcess, gone: float) -> None:
    server.until(lambda stats: stats.clients == 0, "the server notices that they are gone")
    took = time.monotonic() - gone
    print(f"noticed {took:.2f} s after the cut; ping_interval + pong_timeout is {INTERVAL + TIMEOUT} s")
    assert server.log.count("Limits.pong_timeout") == min(COUNT, LINES)


def stays(server: ServerProcess) -> None:
    """As long as it answers, it is not cut off."""
    until = time.monotonic() + 2 * (INTERVAL + TIMEOUT)
    while time.monotonic() < until:
        assert server.ask().clients == COUNT
        time.sleep(0.1)


@needs_proc
def test_a_stopped_process_is_noticed() -> None:
    """Its kernel goes on to acknowledge every byte; only the answers stay away."""
    with (
        serving("run", ping_interval=INTERVAL, pong_timeout=TIMEOUT, close_timeout=0.5) as server,
        client("127.0.0.1", server.port, "/idle") as process,
    ):
        before = server.until(lambda stats: stats.clients == COUNT, "all are there")
        stays(server)
        os.kill(process.pid, signal.SIGSTOP)
        is_noticed(server, time.monotonic())
        server.until(lambda stats: stats.descriptors <= before.descriptors - COUNT, "their sockets are closed")


@needs_proc
def test_a_peer_that_resets_while_nothing_is_read_is_noticed() -> None:
    """Its handler is slow, so that reading is paused; what notices it is the next ping."""
    with serving("run", ping_interval=INTERVAL, pong_timeout=TIMEOUT, incoming_queue=2, rate_limit=None) as server:
        for ending in (Link.reset, Link.close):
            each = link(server.port, "/sleep")
            each.send(frame(TEXT, b"1") * 10)
            server.until(lambda stats: stats.clients == 1, "it is there")
            ending(each)
            server.until(lambda stats: stats.population == 0, "it is gone")


NETWORK = "odac-hostile"
HERE, THERE = "203.0.113.1", "203.0.113.2"  # RFC 5737: addresses that are nobody's


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def namespace() -> Iterator[None]:
    """Another network on this machine, with a cable to it."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("needs the command ip and the right to make network namespaces")
    subprocess.run(["ip", "netns", "del", NETWORK], check=False, capture_output=True)
    try:
        try:
            ip("netns", "add", NETWORK)
            ip("link", "add", "odac0", "type", "veth", "peer", "name", "odac1", "netns", NETWORK)
            ip("addr", "add", f"{HERE}/30", "dev", "odac0")
            ip("link", "set", "odac0", "up")
            ip("-n", NETWORK, "addr", "add", f"{THERE}/30", "dev", "odac1")
            ip("-n", NETWORK, "link", "set", "odac1", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not permitted here: {error.stderr!r}")
        yield
    finally:
        subprocess.run(["ip", "link", "del", "odac0"], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", NETWORK], check=False, capture_output=True)


@needs_proc
@pytest.mark.parametrize("path", ["/idle", "/sleep"], ids=["idle", "while its handler is slow and nothing is read"])
def test_a_cut_cable_is_noticed(path: str) -> None:
    """Nothing of the peer arrives any more, not even an acknowledgement."""
    limits = {"ping_interval": INTERVAL, "pong_timeout": TIMEOUT, "close_timeout": 0.5, "incoming_queue": 2}
    with namespace():
        server = ServerProcess("run", limits, host=HERE)
        try:
            with client(HERE, server.port, path, ("ip", "netns", "exec", NETWORK)):
                before = server.until(lambda stats: stats.clients == COUNT, "all are there")
                stays(server)
                ip("-n", NETWORK, "link", "set", "odac1", "down")
                if path == "/idle":
                    is_noticed(server, time.monotonic())
                server.until(lambda stats: stats.population == 0, "the server notices that they are gone")
                server.until(
                    lambda stats: stats.descriptors <= before.descriptors - COUNT, "their sockets are closed", DEADLINE
                )
        finally:
            server.stop()
        assert "Traceback" not in server.log
