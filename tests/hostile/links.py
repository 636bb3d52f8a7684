"""Many connections at once from the test's process, without an event loop, so that they need little CPU time here."""

from __future__ import annotations

import select
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from tests.hostile.peers import CLOSE, DEADLINE, Closed, Headers, parse_response, request

__all__ = ["Audience", "Link", "close_all", "connect_all", "link", "pump"]

_links: list[Link] = []
"""All that were made since :func:`close_all`, so that a test that fails leaves none behind."""


class Link:
    """A socket after its handshake."""

    def __init__(self, raw: socket.socket, status: int, headers: dict[str, str], rest: bytes) -> None:
        self.socket = raw
        self.status = status
        self.headers = headers
        self.received = bytearray(rest)
        self.ended = False
        _links.append(self)

    def send(self, data: bytes | memoryview) -> None:
        """Send all of it; the server must take it within the deadline."""
        self.socket.settimeout(DEADLINE)
        self.socket.sendall(data)

    def take(self) -> bool:
        """Read without waiting; return False once the connection has ended."""
        self.socket.setblocking(False)
        try:
            while data := self.socket.recv(262_144):
                self.received += data
        except BlockingIOError:
            return True
        except ConnectionError:
            pass
        self.ended = True
        return False

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Remove and return the complete frames received so far."""
        while len(self.received) >= 2:
            length, start = self.received[1], 2
            if length == 126 and len(self.received) >= 4:
                (length,), start = struct.unpack_from("!H", self.received, 2), 4
            elif length == 127 and len(self.received) >= 10:
                (length,), start = struct.unpack_from("!Q", self.received, 2), 10
            elif length > 125:
                return
            if len(self.received) < start + length:
                return
            opcode, payload = self.received[0] & 0xF, bytes(self.received[start : start + length])
            del self.received[: start + length]
            yield opcode, payload

    def next(self, what: str = "a frame") -> list[tuple[int, bytes]]:
        """Wait for complete frames, and return all of them."""
        found: list[tuple[int, bytes]] = []

        def arrived() -> bool:
            found.extend(self.frames())
            return bool(found) or self.ended

        pump([self], arrived, what)
        return found

    def end(self) -> Closed:
        """Read until the connection ends, with a close frame or without one."""
        found = None

        def closed() -> bool:
            nonlocal found
            for opcode, payload in self.frames():
                if opcode == CLOSE:
                    code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                    found = Closed(code, payload[2:].decode())
            return found is not None or self.ended

        pump([self], closed, "the server closes")
        return found or Closed(1006, "")

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """End the TCP connection by RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def close_all() -> None:
    """Close every link."""
    for each in _links:
        each.close()
    _links.clear()


def link(
    port: int, path: str, headers: Headers = (), *, host: str = "127.0.0.1", receive_buffer: int | None = None
) -> Link:
    """Send a handshake, and return the link, whatever the answer is."""
    raw = socket.socket()
    if receive_buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.settimeout(DEADLINE)
    try:
        raw.connect((host, port))
        raw.sendall(request(path, headers))
        received = b""
        while b"\r\n\r\n" not in received:
            data = raw.recv(65_536)
            if not data:
                raise AssertionError(f"no answer to the handshake for {path[:100]!r}, only {received!r}")
            received += data
    except BaseException:
        raw.close()
        raise
    head, _, rest = received.partition(b"\r\n\r\n")
    status, answered = parse_response(head)
    return Link(raw, status, answered, rest)


def connect_all(port: int, paths: Iterable[str]) -> list[Link]:
    """One connection for each path; all must be accepted."""
    links = [link(port, path) for path in paths]
    assert [each.status for each in links] == [101] * len(links)
    return links


def pump(links: Sequence[Link], done: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
    """Read from all links until a condition holds."""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for each in links:
            if not each.ended:
                selector.register(each.socket, selectors.EVENT_READ, each)
        while not done():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:g} s: {what}")
            for key, _ in selector.select(0.05):
                if not key.data.take():
                    selector.unregister(key.data.socket)


class Audience:
    """Many links that receive the same; only the number of bytes that have arrived is recorded."""

    def __init__(self, links: Sequence[Link]) -> None:
        self._count = len(links)
        self._arrived = {each.socket.fileno(): 0 for each in links}
        self._sockets = {each.socket.fileno(): each.socket for each in links}
        self._epoll = select.epoll()
        for number, each in self._sockets.items():
            each.setblocking(False)
            self._epoll.register(number, select.EPOLLIN)

    def wait(self, size: int) -> list[float]:
        """Wait until each has received exactly ``size`` more bytes; return the time at which each had."""
        arrived, sockets, moments = self._arrived, self._sockets, []
        deadline = time.perf_counter() + DEADLINE
        missing = self._count
        while missing:
            ready = self._epoll.poll(0.5)
            for number, _ in ready:
                data = sockets[number].recv(262_144)
                assert data, "the server has closed the connection"
                arrived[number] += len(data)
                if arrived[number] >= size:
                    assert arrived[number] == size, f"{arrived[number]} bytes instead of {size}"
                    missing -= 1
                    moments.append(time.perf_counter())
            if time.perf_counter() > deadline:
                raise AssertionError(f"{missing} of {self._count} have not received {size} bytes")
        for number in arrived:
            arrived[number] = 0
        return moments

    def close(self) -> None:
        self._epoll.close()
