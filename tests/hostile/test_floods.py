"""Too much, too deep, too long: what it costs the server is bounded, and everybody else is served as before."""

from __future__ import annotations

import json
import socket
import time

import pytest

from tests.hostile.links import Link, connect_all, link
from tests.hostile.peers import BINARY, CLOSE, PING, PONG, TEXT, frame, header
from tests.hostile.processes import ServerProcess, needs_proc, serving

pytestmark = needs_proc
MIB = 1024 * 1024


def is_served(server: ServerProcess) -> None:
    """Somebody else is served as if nothing had been."""
    other = link(server.port, "/echo")
    other.send(frame(TEXT, b'{"still":"here"}'))
    assert other.next() == [(TEXT, b'{"still":"here"}')]
    other.close()


def send_what_goes(each: Link, data: bytes, seconds: float = 1.0) -> int:
    """Send until the peer takes no more for a while; gives the bytes taken."""
    each.socket.settimeout(seconds)
    view, sent = memoryview(data), 0
    try:
        while sent < len(data):
            sent += each.socket.send(view[sent : sent + 65_536])
    except (TimeoutError, ConnectionError):
        pass
    return sent


@pytest.mark.parametrize("limit", [MIB, 4096 * MIB], ids=["over the limit", "below the limit"])
def test_a_gibibyte_declared_and_trickled_on_500_connections(limit: int) -> None:
    with serving("run", max_payload=limit, rate_limit=None) as server:
        for each in connect_all(server.port, ["/raw"] * 20):
            each.close()
        links = connect_all(server.port, ["/raw"] * 500)
        before = server.until(lambda stats: stats.clients == 500, "all are there")
        for each in links:
            each.send(header(BINARY, 1024 * MIB) + b"x")
        for _ in range(10):
            for each in links:
                try:
                    each.send(b"x" * 100)
                except ConnectionError:
                    assert limit == MIB
        if limit == MIB:
            for each in links:
                end = each.end()
                assert end.code in (1009, 1006)  # 1006 where what was sent after the close frame reset it
            after = server.until(lambda stats: stats.clients == 0, "all are closed")
        else:
            after = server.ask()
            assert after.clients == 500
        grown = (after.rss - before.rss) / 500
        print(f"{grown / 1024:.1f} KiB a connection")
        assert grown < 64 * 1024  # the figure to show is 1 MiB
        is_served(server)


@pytest.mark.parametrize("kind", ["run", "asgi"])
def test_lengths_at_the_edge_of_64_bits(kind: str) -> None:
    """Alone, and in the middle of a message. Over plain ASGI it is the server that answers."""
    with serving(kind) as server:
        for length in (2**63 - 1, 2**63, 2**64 - 1):
            for before in (b"", frame(BINARY, b"x", fin=False)):
                each = link(server.port, "/raw")
                each.send(before + header(0 if before else BINARY, length) + b"x")
                code = each.end().code
                assert code == (1002 if length >= 2**63 and kind == "run" else 1009), length
                each.close()
        is_served(server)


@pytest.mark.parametrize("rate_limit", [(100, 1.0), None], ids=["rate_limit", "outgoing_buffer"])
def test_100_000_pings_from_a_peer_that_never_reads(rate_limit: tuple[int, float] | None) -> None:
    with serving("run", rate_limit=rate_limit, close_timeout=0.5) as server:
        is_served(server)
        before = server.ask()
        each = link(server.port, "/raw", receive_buffer=4_096)
        sent = send_what_goes(each, frame(PING, bytes(125)) * 100_000)
        after = server.until(lambda stats: stats.clients == 0, "it is closed by a limit")
        print(f"{sent // 131} pings taken, {(after.rss - before.rss) / MIB:.1f} MiB")
        assert after.rss - before.rss < 16 * MIB
        assert after.overflows == (0 if rate_limit else 1)
        server.until(lambda stats: stats.descriptors <= before.descriptors, "its socket is closed")
        each.close()
        is_served(server)
        assert ("Limits.rate_limit" if rate_limit else "Limits.outgoing_buffer") in server.log


@pytest.mark.parametrize("path", ["/sleep", "/iterate"])
@pytest.mark.parametrize("kind", ["run", "asgi"])
def test_100_000_messages_to_a_handler_that_sleeps(kind: str, path: str) -> None:
    """Reading pauses, so that the messages stay with their sender; once it wakes up, all of them are handled."""
    count = 100_000
    message = frame(TEXT, json.dumps("x" * 200).encode())
    with serving(kind, rate_limit=None) as server:
        is_served(server)
        before = server.ask("/sleep")
        each = link(server.port, path)
        data = memoryview(message * count)
        sent = send_what_goes(each, bytes(data))
        during = server.ask()
        print(f"{sent // len(message)} messages left the sender, {(during.rss - before.rss) / MIB:.1f} MiB")
        assert sent < len(data)
        assert during.taken.get(path, 0) == 0
        assert during.tasks <= before.tasks + 3
        assert during.rss - before.rss < 24 * MIB
        is_served(server)
        server.ask("/wake")
        each.send(data[sent:])
        server.until(lambda stats: stats.taken.get(path) == count, "all are handled", 60)
        each.close()
        server.until(lambda stats: stats.clients == 0 and stats.tasks <= before.tasks, "its tasks end")


def deep(opening: str, closing: str, depth: int = 100_000) -> str:
    return opening * depth + closing * depth


JSON = {
    "arrays": deep("[", "]"),
    "objects": deep('{"a":', "}").replace('"a":}', '"a":1}', 1),
    "arrays never closed": "[" * 100_000,
    "objects never closed": '{"a":' * 100_000,
    "array in spaces": "[ " * 50_000,
    "huge integer": "9" * 100_000,
    "huge integer in an object": '{"a":' + "9" * 100_000 + "}",
    "huge exponent": "1e999999999",
    "huge negative exponent": "-1e-999999999",
    "long fraction": "0." + "1" * 100_000,
    "NaN": "NaN",
    "infinities": "[Infinity,-Infinity]",
    "lone surrogate": '"\\ud800"',
    "lone surrogate as key": '{"\\udc00":1}',
    "surrogates the wrong way round": '["\\udc00\\ud800"]',
    "truncated escape": '"\\u12',
    "keys of one name": "{" + ",".join('"a":1' for _ in range(50_000)) + "}",
    "many keys": "{" + ",".join(f'"{number}":1' for number in range(50_000)) + "}",
    "prototype": '{"__proto__":{"a":1},"constructor":1}',
    "control characters": '"\\u0000\\u001e\\u2028"',
    "separator": "\x1e[" * 10_000,
    "byte order mark": "\ufeff{}",
    "nothing": "",
    "spaces": " " * 100_000,
    "commas": "," * 100_000,
    "backslashes": '"' + "\\" * 100_000,
}


@pytest.mark.parametrize("kind", ["run", "asgi"])
def test_json_of_the_worst_kinds(kind: str) -> None:
    """An echo or an error for that connection; the process lives, and no input makes a handler's traceback."""
    with serving(kind, rate_limit=None) as server:
        for path in ("/echo", "/names", "/room/x"):
            for name, text in JSON.items():
                for offer in ([], [("Sec-WebSocket-Protocol", "odac.v1")]):
                    each = link(server.port, path, offer)
                    if path == "/names":
                        text = json.dumps(["to", text[:50], text])
                    before = server.cpu
                    each.send(frame(TEXT, text.encode()) + frame(PING, b"after"))
                    while not {CLOSE, PONG} & {opcode for opcode, _ in each.next(name)}:
                        pass
                    spent = server.cpu - before
                    assert spent < 1.0, (name, spent)
                    each.close()
        is_served(server)


def test_a_mask_and_a_fragment_at_a_time_cost_time_in_proportion() -> None:
    """One byte for each TCP segment: twice the bytes take about twice the CPU time, and no more memory."""
    with serving("run", rate_limit=None) as server:
        costs = []
        for size in (4_000, 16_000):
            each = link(server.port, "/raw")
            each.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            before = server.ask()
            data = frame(TEXT, b"x" * size)
            for number in range(len(data)):
                each.send(data[number : number + 1])
                if number % 200 == 0:
                    time.sleep(0)
            assert [len(payload) for _, payload in each.next()] == [size]
            after = server.ask()
            costs.append((after.cpu - before.cpu) / size)
            assert after.rss - before.rss < 4 * MIB
            each.close()
        print("CPU for each byte: " + ", ".join(f"{cost * 1e6:.1f} µs" for cost in costs))
        assert costs[1] < 4 * costs[0] + 20e-6
