"""A thousand sockets that never finish their handshake hold nothing for longer than the deadline."""

from __future__ import annotations

import http.client
import selectors
import shutil
import socket
import time

import pytest

from tests.hostile.links import link
from tests.hostile.peers import DEADLINE, TEXT, frame, request
from tests.hostile.processes import needs_proc, serving

SOCKETS = 1_000
TIMEOUT = 2.0
SLACK = 1.0
"""Seconds after the deadline at which all must be closed, on a machine that has nothing else to do."""


def connected(port: int, count: int) -> dict[socket.socket, float]:
    """Sockets that have sent nothing yet, with the moments at which each began to connect."""
    sockets = {}
    for _ in range(count):
        begun = time.monotonic()
        each = socket.create_connection(("127.0.0.1", port))
        each.setblocking(False)
        sockets[each] = begun
    return sockets


@needs_proc
def test_a_thousand_sockets_that_send_a_byte_a_second() -> None:
    """A third sends nothing at all, a third a valid request byte by byte, a third headers that never end."""
    with serving("run", "--log-level", "debug", handshake_timeout=TIMEOUT) as server:
        each = link(server.port, "/echo")
        each.close()
        before = server.until(lambda stats: stats.population == 0, "nobody is there")
        whole = request("/echo")
        sockets: dict[socket.socket, tuple[int, float]] = {}
        closed: list[float] = []
        tried = 0
        try:
            for number, (raw, begun) in enumerate(connected(server.port, SOCKETS).items()):
                kind = number % 3
                sockets[raw] = (kind, begun)
                if kind == 2:
                    raw.send(whole[:-2])  # all but the empty line
            everybody = link(server.port, "/echo")  # among them is one who does as one should
            with selectors.DefaultSelector() as selector:
                for raw in sockets:
                    selector.register(raw, selectors.EVENT_READ)
                beat, position = time.monotonic(), 0
                deadline = beat + 10 * TIMEOUT
                while len(closed) < SOCKETS and time.monotonic() < deadline:
                    for key, _ in selector.select(0.05):
                        raw = key.fileobj  # type: ignore[assignment]
                        try:
                            data = raw.recv(4_096)
                        except ConnectionError:
                            data = b""
                        if not data:  # what comes before it is an answer that says why
                            selector.unregister(raw)
                            closed.append(time.monotonic() - sockets[raw][1])
                    if time.monotonic() >= beat:
                        beat += 1.0
                        position += 1
                        tried += 1
                        for raw, (kind, _) in sockets.items():
                            try:
                                if kind == 1:
                                    raw.send(whole[position : position + 1])
                                elif kind == 2:
                                    raw.send(b"x")
                            except (ConnectionError, BlockingIOError):
                                pass
                        everybody.send(frame(TEXT, b"1"))
            assert len(closed) == SOCKETS, f"{SOCKETS - len(closed)} are open yet"
            print(f"closed {min(closed):.2f} to {max(closed):.2f} s after they connected; the deadline is {TIMEOUT} s")
            assert min(closed) >= TIMEOUT * 0.9
            assert max(closed) < TIMEOUT + SLACK + 15.0  # 15 s are for a machine that is busy
            assert tried >= 2
            assert len(everybody.next()) >= 1
            everybody.close()
        finally:
            for raw in sockets:
                raw.close()
        after = server.until(lambda stats: stats.descriptors <= before.descriptors, "the descriptors are back")
        assert after.population == 0
        assert after.tasks <= before.tasks
        assert after.rss - before.rss < 16 * 1024 * 1024
        assert "Limits.handshake_timeout" in server.log


@needs_proc
def test_slow_handshakes_take_no_place_from_others() -> None:
    """They are not connections yet: ``max_connections`` is for those who have shaken hands."""
    with serving("run", handshake_timeout=5.0, max_connections=10) as server:
        waiting = connected(server.port, 100)
        try:
            for raw in waiting:
                raw.send(b"GET /echo HTTP/1.1\r\n")
            links = [link(server.port, "/echo") for _ in range(12)]
            assert [each.status for each in links] == [101] * 10 + [503] * 2
            for each in links:
                each.close()
        finally:
            for raw in waiting:
                raw.close()


@needs_proc
@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs the command prlimit")
def test_more_connections_than_file_descriptors() -> None:
    """Those that have no descriptor are closed; the others are served, the server rests, and later all is as before."""
    with serving("run", files=64, handshake_timeout=5.0) as server:
        before = server.ask()
        sockets = list(connected(server.port, 150))
        try:
            served = 0
            for raw in sockets:
                raw.settimeout(DEADLINE)
                try:
                    raw.sendall(request("/echo"))
                    served += raw.recv(64).startswith(b"HTTP/1.1 101 ")
                except ConnectionError:
                    pass
            assert 40 <= served < 64
            spent = server.cpu
            time.sleep(0.5)
            assert server.cpu - spent < 0.25  # it does not spin over what it cannot accept
        finally:
            for raw in sockets:
                raw.close()
        server_is_back = time.monotonic() + DEADLINE
        while True:
            try:
                after = server.until(lambda stats: stats.population == 0, "all are gone")
                break
            except (ConnectionError, http.client.HTTPException):
                assert time.monotonic() < server_is_back
        assert after.descriptors <= before.descriptors
        each = link(server.port, "/echo")
        assert each.status == 101
