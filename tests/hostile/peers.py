"""Clients that can send anything: a raw connection, and frames and handshakes as bytes."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "DEADLINE",
    "PING",
    "PONG",
    "TEXT",
    "Closed",
    "Peer",
    "Refused",
    "close_frame",
    "frame",
    "header",
    "parse_response",
    "request",
]

DEADLINE: Final = 30.0
"""Seconds after which something that must happen has not."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_MASK: Final = b"\0\0\0\0"  # a valid mask that does not change the bytes

Headers = Sequence[tuple[str, str]]


def header(opcode: int, length: int, *, fin: bool = True, reserved: int = 0) -> bytes:
    """A client's frame header that declares ``length`` bytes, which need not follow."""
    first = fin << 7 | reserved << 4 | opcode
    if length < 126:
        return bytes((first, 0x80 | length)) + _MASK
    if length < 0x10000:
        return struct.pack("!BBH", first, 0xFE, length) + _MASK
    return struct.pack("!BBQ", first, 0xFF, length) + _MASK


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    return header(opcode, len(payload), fin=fin) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())


def request(path: str, headers: Headers = (), *, host: str = "localhost") -> bytes:
    """A complete handshake."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def parse_response(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    return int(first.split()[1]), {
        name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)
    }


class Closed(NamedTuple):
    """How a connection ended; 1006 where no close frame came."""

    code: int
    reason: str


class Refused(Exception):
    """The response to the handshake has another status than 101 (0: no response)."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        super().__init__(status, headers)
        self.status = status
        self.headers = headers


class Peer:
    """One connection: only the test sends and answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        port: int,
        path: str,
        headers: Headers = (),
        *,
        source: str = "127.0.0.1",
        receive_buffer: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> AsyncIterator[Peer]:
        """Connect and send a handshake.

        Args:
            port: of the server on 127.0.0.1.
            path: of the route.
            headers: beside the necessary ones.
            source: the address to come from.
            receive_buffer: bytes that the kernel keeps for a peer that does not read.
            tls: for a server that speaks it, as ``localhost``.

        Raises:
            Refused: the server refused the handshake.
        """
        raw = socket.socket()
        raw.setblocking(False)
        if receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
        name = "localhost" if tls is not None else None
        reader, writer = await asyncio.open_connection(sock=raw, limit=4 * 1024 * 1024, ssl=tls, server_hostname=name)
        try:
            writer.write(request(path, headers))
            async with asyncio.timeout(DEADLINE):
                try:
                    status, answered = parse_response(await reader.readuntil(b"\r\n\r\n"))
                except (asyncio.IncompleteReadError, ConnectionError):
                    raise Refused(0, {}) from None
            if status != 101:
                raise Refused(status, answered)
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    # Sending

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    def text(self, *texts: str) -> None:
        self.send(*[frame(TEXT, text.encode()) for text in texts])

    # Receiving

    def stop_reading(self) -> None:
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def read_on(self) -> None:
        self.writer.transport.resume_reading()  # type: ignore[attr-defined]

    async def frame(self) -> tuple[int, bytes]:
        """The next frame.

        Raises:
            ConnectionError: the connection has ended.
        """
        async with asyncio.timeout(DEADLINE):
            try:
                first, length = await self._reader.readexactly(2)
                if length == 126:
                    (length,) = struct.unpack("!H", await self._reader.readexactly(2))
                elif length == 127:
                    (length,) = struct.unpack("!Q", await self._reader.readexactly(8))
                return first & 0xF, await self._reader.readexactly(length)
            except asyncio.IncompleteReadError:
                raise ConnectionResetError from None

    async def message(self, *, answer_pings: bool = True) -> str:
        """The next text."""
        while True:
            opcode, payload = await self.frame()
            if opcode == TEXT:
                return payload.decode()
            if opcode == CLOSE:
                raise AssertionError(f"closed with {_closed(payload)} instead of a message")
            if opcode == PING and answer_pings:
                self.send(frame(PONG, payload))

    async def end(self) -> Closed:
        """Read until the connection closes."""
        while True:
            try:
                opcode, payload = await self.frame()
            except ConnectionError:
                return Closed(1006, "")
            if opcode == CLOSE:
                return _closed(payload)

    async def gone(self) -> None:
        """Wait until the server has closed the TCP connection."""
        async with asyncio.timeout(DEADLINE):
            try:
                while await self._reader.read(65_536):
                    pass
            except ConnectionError:
                pass


def _closed(payload: bytes) -> Closed:
    return Closed(struct.unpack("!H", payload[:2])[0] if payload else 1005, payload[2:].decode())
