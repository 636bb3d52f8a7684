"""Thousands of clients of one room, with little code for each message: the messages and notices that each one got."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from odac.protocol.control import decode_control, is_control, unescape

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: odac.v1\r\n\r\n"
)
AT_ONCE = 100
DEADLINE = 300.0


class Member(asyncio.Protocol):
    """One client.

    Attributes:
        messages: the texts that it got.
        notices: the control messages about gaps, and the end of the connection.
    """

    def __init__(self, clients: RawClients) -> None:
        self.messages: list[str] = []
        self.notices: list[str] = []
        self.is_live = False
        self._clients = clients
        self._data = bytearray()
        self._is_open = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._clients.handshake)

    def data_received(self, data: bytes) -> None:
        buffer = self._data
        buffer += data
        if not self._is_open:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            assert buffer.startswith(b"HTTP/1.1 101 "), bytes(buffer[:100])
            del buffer[: end + 4]
            self._is_open = True
        at = 0
        while len(buffer) - at >= 2:
            size, head = buffer[at + 1] & 0x7F, 2
            if size == 126:
                if len(buffer) - at < 4:
                    break
                size, head = int.from_bytes(buffer[at + 2 : at + 4], "big"), 4
            if len(buffer) - at < head + size:
                break
            self._take(buffer[at] & 0x0F, bytes(buffer[at + head : at + head + size]))
            at += head + size
        del buffer[:at]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == 8:
            self.notices.append(f"closed: {payload!r}")
        elif opcode == 1 and is_control(payload):
            decoded = decode_control(payload)
            assert decoded is not None
            if decoded[0] == "gap":
                self.notices.append(payload.decode())
            elif decoded[0] == "live":
                self.is_live = True
                self._clients.changed()
        elif opcode == 1:
            self.messages.append(bytes(unescape(payload)).decode())
            if self.messages[-1] == self._clients.expected:
                self._clients.changed()

    def connection_lost(self, error: Exception | None) -> None:
        self.notices.append("the connection was lost")


class RawClients:
    """The clients.

    Args:
        host: of the server.
        port: of the server.
        path: of the route.
    """

    def __init__(self, host: str, port: int, path: str) -> None:
        self.members: list[Member] = []
        self.handshake = HANDSHAKE.format(path=path, host=host, port=port).encode()
        self.expected = ""
        self._address = host, port
        self._changed = asyncio.Event()

    def changed(self) -> None:
        self._changed.set()

    async def connect(self, count: int) -> None:
        """Connect ``count`` clients, and wait until each is live in the room."""
        loop = asyncio.get_running_loop()
        for start in range(0, count, AT_ONCE):
            made = await asyncio.gather(
                *(
                    loop.create_connection(lambda: Member(self), *self._address)
                    for _ in range(min(AT_ONCE, count - start))
                )
            )
            self.members += [member for _, member in made]
            await self._until(lambda: all(member.is_live for member in self.members[start:]))  # noqa: B023
        assert len(self.members) == count

    async def until_all_have(self, message: str) -> None:
        """Wait until each has got this message."""
        self.expected = message
        await self._until(lambda: all(member.messages[-1:] == [message] for member in self.members))

    async def _until(self, condition: Callable[[], bool]) -> None:
        deadline = asyncio.get_running_loop().time() + DEADLINE
        while not condition():
            assert asyncio.get_running_loop().time() < deadline, [
                (member.messages[-3:], member.notices[:3]) for member in self.members[:3]
            ]
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._changed.wait()

    def close(self) -> None:
        """Abort every connection."""
        for member in self.members:
            if member.transport is not None:
                member.transport.abort()
