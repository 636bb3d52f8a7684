"""A member who does not read, among a thousand who do: it costs them nothing, and is closed at its cap."""

from __future__ import annotations

import time
from typing import NamedTuple

import pytest

from tests.hostile.links import Audience, Link, connect_all, link
from tests.hostile.peers import TEXT, frame
from tests.hostile.processes import ServerProcess, needs_proc, serving

MEMBERS = 1_000
MESSAGES = 50
SIZE = 1_000
LARGE = 60_000
MIB = 1024 * 1024


class Round(NamedTuple):
    """What one run of messages took."""

    p99: float
    """Seconds from a message's sending until a member has it."""
    cpu: float
    """CPU seconds of the server for all of them."""


def converse(server: ServerProcess, sender: Link, audience: Audience) -> Round:
    """One member sends, one message at a time, and waits until everybody has it."""
    message = frame(TEXT, b"x" * SIZE)
    waits: list[float] = []
    before = server.cpu
    for _ in range(MESSAGES):
        begun = time.perf_counter()
        sender.socket.sendall(message)
        waits += [moment - begun for moment in audience.wait(4 + SIZE)]
    waits.sort()
    return Round(waits[int(len(waits) * 0.99)], server.cpu - before)


def fill(filler: Link, count: int) -> None:
    """Send what the stalled one would get, were it to read, and nobody else but the sender."""
    for _ in range(count):
        filler.send(frame(TEXT, b"x" * LARGE))
        while not filler.next():
            pass


@needs_proc
@pytest.mark.parametrize("path", ["/room/busy", "/tolerant/busy"], ids=["close", "drop_oldest"])
def test_a_stalled_reader_among_a_thousand(path: str) -> None:
    keeps = path.startswith("/tolerant")
    with serving("run", rate_limit=None, outgoing_buffer=MIB, ping_interval=60.0, close_timeout=0.5) as server:
        members = connect_all(server.port, [path] * MEMBERS)
        audience, sender = Audience(members), members[0]
        converse(server, sender, audience)
        alone = converse(server, sender, audience)
        stalled = link(server.port, f"{path},alone", receive_buffer=4_096)
        filler = link(server.port, "/room/alone")
        before = server.until(lambda stats: stats.clients == MEMBERS + 2, "the stalled one is there")
        beside = [converse(server, sender, audience)]
        # The kernel keeps a few MiB for a peer that does not read. Then the server itself has to.
        for _ in range(50):
            fill(filler, 4)
            held = server.ask()
            if held.alive["Backlog"]:
                break
        assert held.alive["Backlog"] == 1
        beside.append(converse(server, sender, audience))
        fill(filler, 2 * MIB // LARGE)
        after = server.ask()
        beside.append(converse(server, sender, audience))
        print(
            f"p99 {alone.p99 * 1e3:.1f} ms alone; "
            + ", ".join(f"{each.p99 * 1e3:.1f}" for each in beside)
            + f" ms beside it (before it is felt, while it is held back, after); CPU {alone.cpu:.2f} s; "
            + ", ".join(f"{each.cpu:.2f}" for each in beside)
            + f" s; RSS grew by {(held.rss - before.rss) / MIB:.1f} and {(after.rss - before.rss) / MIB:.1f} MiB"
        )
        for each in beside:
            assert (
                each.cpu < 1.25 * alone.cpu + 0.1
            )  # the figure to show is 10 % of p99; CPU time does not depend on luck
        assert after.rss - before.rss < 8 * MIB
        if keeps:
            assert after.overflows == 0
            assert after.clients == MEMBERS + 2
            stalled.close()
            assert server.until(lambda stats: stats.clients == MEMBERS + 1, "it is gone").dropped > 0
        else:
            assert after.overflows == 1
            assert after.clients == MEMBERS + 1
            assert "Limits.outgoing_buffer" in server.log
            server.until(lambda stats: stats.descriptors == before.descriptors - 1, "its socket is closed")
        converse(server, sender, audience)
        audience.close()
