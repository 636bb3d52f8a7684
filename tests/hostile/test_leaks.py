"""Ten thousand connections that come and go in every way leave nothing behind."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.hostile.links import Link, connect_all, link
from tests.hostile.peers import BINARY, DEADLINE, PING, TEXT, close_frame, frame, header, request
from tests.hostile.processes import ServerProcess, Stats, needs_proc, serving

TOTAL = {"run": 10_000, "asgi": 2_000}
BATCH = 1_000
MIB = 1024 * 1024

ORIGIN = [("Origin", "http://evil.example")]
V1 = [("Sec-WebSocket-Protocol", "odac.v1")]

Way = Callable[[int, int], None]


def closes(each: Link, code: int | None = None) -> None:
    """Wait for the server's close, answer it, and see TCP closed."""
    end = each.end()
    assert code is None or end.code == code, end
    try:
        each.send(close_frame(1000))
    except ConnectionError:
        pass
    each.close()


def by_client(port: int, number: int) -> None:
    each = link(port, f"/room/{number % 50},{number},common")
    each.send(frame(TEXT, b"hello") + close_frame(1000))
    closes(each, 1000)


def by_server(port: int, number: int) -> None:
    closes(link(port, "/bye"), 4321)


def fin(port: int, number: int) -> None:
    link(port, f"/room/{number % 50}", V1).close()


def reset(port: int, number: int) -> None:
    each = link(port, "/echo")
    each.send(frame(TEXT, b"1") * 3)
    each.reset()


def reset_with_much_on_the_way(port: int, number: int) -> None:
    each = link(port, "/flood", receive_buffer=4_096)
    each.reset()


def reset_while_a_handler_sleeps(port: int, number: int) -> None:
    each = link(port, "/sleep" if number % 2 else "/iterate")
    each.send(frame(TEXT, b'"x"') * 20)
    each.reset()


def mid_message(port: int, number: int) -> None:
    each = link(port, "/raw")
    each.send(header(BINARY, 100_000) + b"x" * 1_000)
    each.close()


def mid_ping(port: int, number: int) -> None:
    each = link(port, "/raw")
    each.send(frame(PING, b"x")[:5])
    each.close()


def protocol_error(port: int, number: int) -> None:
    each = link(port, "/raw")
    each.send(b"\xff\xff\xff\xff")
    closes(each, 1002)


def not_utf8(port: int, number: int) -> None:
    each = link(port, "/raw")
    each.send(frame(TEXT, b"\xff"))
    closes(each, 1007)


def too_big(port: int, number: int) -> None:
    each = link(port, "/raw")
    each.send(frame(BINARY, bytes(70_000)))
    each.end()
    each.close()


def too_fast(port: int, number: int) -> None:
    each = link(port, "/raw")
    each.send(frame(TEXT, b"x") * 60)
    closes(each, 1008)


def unauthorized(port: int, number: int) -> None:
    closes(link(port, "/auth"), 4001)


def authorized(port: int, number: int) -> None:
    each = link(port, f"/auth?user={number}")
    each.send(close_frame(1000))
    closes(each, 1000)


def without_token(port: int, number: int) -> None:
    closes(link(port, "/token"), 4002)


def forbidden(port: int, number: int) -> None:
    closes(link(port, "/forbid"), 4003)


def rejected(port: int, number: int) -> None:
    closes(link(port, "/reject"), 4000)


def failing(port: int, number: int) -> None:
    closes(link(port, "/raise"), 1011)


def cancelled(port: int, number: int) -> None:
    closes(link(port, "/cancelled"), 1011)


def gate_that_hangs(port: int, number: int) -> None:
    each = link(port, "/hang")
    if number % 2:
        each.close()  # the others are left to the deadline
    else:
        kept.append(each)


def refused_origin(port: int, number: int) -> None:
    status(port, "/raw", 403, ORIGIN)


def no_route(port: int, number: int) -> None:
    status(port, f"/nowhere/{number}", 403)  # the app around it refuses in the way that ASGI has for it


def status(port: int, path: str, expected: int, headers: list[tuple[str, str]] | None = None) -> None:
    each = link(port, path, headers or [])
    assert each.status == expected, each.status
    each.close()


def half_a_handshake(port: int, number: int) -> None:
    raw = socket.create_connection(("127.0.0.1", port))
    raw.send(request("/raw")[: number % 150])
    raw.close()


def reset_in_the_handshake(port: int, number: int) -> None:
    raw = socket.create_connection(("127.0.0.1", port))
    raw.send(request("/raw"))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()


def malformed_handshake(port: int, number: int) -> None:
    whole = request("/raw")
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as raw:
        raw.sendall(whole.replace(b"Sec-WebSocket-Key", b"X-Key") if number % 2 else whole.replace(b": 13", b": 8"))
        assert raw.recv(65_536).split()[1] in (b"400", b"426")


def handshake_without_end(port: int, number: int) -> None:
    """Never sends the last line: left to the handshake timeout."""
    raw = socket.create_connection(("127.0.0.1", port), DEADLINE)
    raw.sendall(request("/raw")[:-2])
    unfinished.append(raw)


def silent(port: int, number: int) -> None:
    """Never answers a ping, never reads: left to the pong timeout."""
    kept.append(link(port, "/idle", V1 if number % 2 else []))


def deaf_to_the_close(port: int, number: int) -> None:
    """Never answers the close frame: left to the close timeout."""
    kept.append(link(port, "/bye"))


WAYS: list[Way] = [
    by_client,
    by_server,
    fin,
    reset,
    reset_with_much_on_the_way,
    reset_while_a_handler_sleeps,
    mid_message,
    mid_ping,
    protocol_error,
    not_utf8,
    too_big,
    too_fast,
    unauthorized,
    authorized,
    without_token,
    forbidden,
    rejected,
    failing,
    cancelled,
    gate_that_hangs,
    refused_origin,
    no_route,
    half_a_handshake,
    reset_in_the_handshake,
    malformed_handshake,
    handshake_without_end,
    silent,
    deaf_to_the_close,
]

kept: list[Link] = []
unfinished: list[socket.socket] = []
"""Those that the server has to give up by itself: connections, and handshakes."""


def come_and_go(server: ServerProcess, count: int, skip: frozenset[Way]) -> None:
    ways = [way for way in WAYS if way not in skip]
    for number in range(count):
        ways[number % len(ways)](server.port, number)
        if number % BATCH == BATCH - 1:
            settled(server)


def settled(server: ServerProcess) -> None:
    """Let the server give up those that it has to, and be told so."""
    for each in kept:
        each.end()
        each.close()
    kept.clear()
    for raw in unfinished:
        while raw.recv(65_536):
            pass
        raw.close()
    unfinished.clear()


def at_rest(server: ServerProcess, connections: int = 0) -> Stats:
    """Wait until all of them are gone, and the timers that outlive them for a moment too."""
    last: list[tuple[int, ...]] = []

    def unchanged(stats: Stats) -> bool:
        last.append((stats.descriptors, stats.tasks, stats.timers, *stats.alive.values()))
        forgotten = stats.population == connections == stats.alive["Connection"]  # by the heartbeat as well
        return forgotten and len(last) > 3 and len(set(last[-4:])) == 1

    return server.until(unchanged, "nothing moves any more", 30)


@needs_proc
@pytest.mark.parametrize("kind", ["run", "asgi"])
def test_ten_thousand_connections_leave_nothing(kind: str) -> None:
    # What plain ASGI cannot do by itself is left out there: its servers' own timeouts are 10 s and more, or for ever.
    left_to_the_server = {silent, deaf_to_the_close, reset_while_a_handler_sleeps, handshake_without_end}
    skip = frozenset[Way]() if kind == "run" else frozenset(left_to_the_server)
    limits: dict[str, Any] = {
        "max_payload": 65_536,
        "rate_limit": [50, 1.0],
        "handshake_timeout": 0.5,
        "ping_interval": 0.5,
        "pong_timeout": 0.5,
        "close_timeout": 0.5,
        "connections_per_ip": 10_000,
        "incoming_queue": 4,
    }
    with serving(kind, tracebacks=True, **limits) as server:
        come_and_go(server, 1_000, skip)  # what grows once only is there now
        settled(server)
        before = at_rest(server)
        begun = time.monotonic()
        come_and_go(server, TOTAL[kind], skip)
        settled(server)
        after = at_rest(server)
        print(
            f"{TOTAL[kind]} connections in {time.monotonic() - begun:.0f} s, {(after.cpu - before.cpu) * 1e6 / TOTAL[kind]:.0f} µs of CPU each; "
            f"RSS {before.rss / MIB:.1f} to {after.rss / MIB:.1f} MiB, descriptors {before.descriptors} to {after.descriptors}, "
            f"tasks {before.tasks} to {after.tasks}, timers {before.timers} to {after.timers}, objects {before.objects} to {after.objects}"
        )
        assert after.population == 0
        left_nothing(before, after)


def left_nothing(before: Stats, after: Stats) -> None:
    assert after.clients == before.clients
    assert after.rooms == before.rooms
    assert after.addresses == before.addresses
    assert after.descriptors <= before.descriptors
    assert after.tasks <= before.tasks
    assert after.timers <= before.timers + 1
    assert after.alive == before.alive, json.dumps([before.alive, after.alive])
    assert after.objects < before.objects + 500
    assert after.rss - before.rss < 6 * MIB  # 10,000 forgotten connections would hold 20


@needs_proc
@pytest.mark.parametrize("kind", ["run", "asgi"])
def test_refused_connections_leave_nothing(kind: str) -> None:
    # odac run counts the connection that asks for the figures as well; other servers count theirs by themselves.
    with serving(kind, max_connections=6 if kind == "run" else 5) as server:
        server.keep_asking()
        server.ask()
        connect_all(server.port, ["/idle"] * 5)
        refused(server, 200)
        before = at_rest(server, 5)
        refused(server, 2_000)
        left_nothing(before, at_rest(server, 5))


def refused(server: ServerProcess, count: int) -> None:
    """Be refused so often, and ask in between: a server closes a connection over which nothing is asked for seconds."""
    for number in range(count):
        status(server.port, "/idle", 503)
        if number % 20 == 0:
            server.ask()
