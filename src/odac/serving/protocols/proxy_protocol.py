"""The PROXY protocol, versions 1 and 2, in front of the first request of a connection from a trusted proxy.

The client's address comes before anything else (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt). Only the
peer's address decides whether a header is expected, never the bytes, as that document requires: a client could send
such bytes itself.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from odac.errors import HandshakeError
from odac.serving.protocols.http import HttpProtocol

__all__ = ["Introduction", "ProxiedProtocol", "read_introduction"]

_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_LONGEST_1: Final = 107
_LONGEST_2: Final = 4096
"""The most bytes of a version 2 header: addresses, and TLVs, which are ignored."""
_TCP: Final = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}
_MISSING: Final = (
    "the connection does not begin with the PROXY protocol, which --proxy-protocol expects of trusted proxies: turn it"
    " on in the proxy (HAProxy: send-proxy-v2 and check-send-proxy; stunnel: protocol = proxy; nginx stream:"
    " proxy_protocol on)"
)


class Introduction(NamedTuple):
    """A complete header.

    Args:
        length: its length in bytes.
        client: address and port of the client; None if the proxy connects for itself, as for health checks.
    """

    length: int
    client: tuple[str, int] | None


def read_introduction(data: bytes) -> Introduction | None:
    """Read the header at the start of ``data``; None while it is incomplete.

    Raises:
        HandshakeError: 400, these bytes are not the beginning of a header of version 1 or 2.
    """
    if data.startswith(b"PROXY "):
        return _read_1(data)
    if data.startswith(_SIGNATURE):
        return _read_2(data)
    if b"PROXY ".startswith(data) or _SIGNATURE.startswith(data):
        return None
    raise HandshakeError(400, _MISSING)


def _read_1(data: bytes) -> Introduction | None:
    end = data.find(b"\r\n", 0, _LONGEST_1)
    if end < 0:
        if len(data) >= _LONGEST_1:
            raise HandshakeError(400, "the PROXY header is longer than a line of version 1")
        return None
    words = data[:end].split(b" ")
    if words[1] == b"UNKNOWN":
        return Introduction(end + 2, None)
    make = {b"TCP4": IPv4Address, b"TCP6": IPv6Address}.get(words[1])
    try:
        if make is None or len(words) != 6:
            raise ValueError
        source, _ = (make(word.decode("ascii")) for word in words[2:4])
        port, _ = (_port(word) for word in words[4:6])
    except ValueError:
        raise HandshakeError(400, "the PROXY header is malformed") from None
    return Introduction(end + 2, (str(source), port))


def _port(word: bytes) -> int:
    if not word.isdigit() or int(word) > 65_535:
        raise ValueError
    return int(word)


def _read_2(data: bytes) -> Introduction | None:
    if len(data) < 16:
        return None
    command, family, length = struct.unpack_from("!BBH", data, 12)
    if command not in (0x20, 0x21) or length + 16 > _LONGEST_2:
        raise HandshakeError(400, "the PROXY header of version 2 is malformed")
    if len(data) < 16 + length:
        return None
    if command == 0x20 or family not in _TCP:  # LOCAL; or a client without an address, as behind a Unix socket
        return Introduction(16 + length, None)
    kind, size = _TCP[family]
    if length < 2 * size + 4:
        raise HandshakeError(400, "the PROXY header of version 2 is too short for its addresses")
    (port,) = struct.unpack_from("!H", data, 16 + 2 * size)
    return Introduction(16 + length, (socket.inet_ntop(kind, data[16 : 16 + size]), port))


class ProxiedProtocol(HttpProtocol):
    """A connection that begins with a PROXY header if it is from a trusted proxy (``odac run --proxy-protocol``).

    A connection from any other address is served without one, with its own address.
    """

    __slots__ = ("_before", "_expects")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :meth:`asyncio.BaseProtocol.connection_made`."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        trusted = self.reception.proxies
        self._expects = trusted is not None and (peer[0] if isinstance(peer, tuple) else None) in trusted
        self._before = b""

    def data_received(self, data: bytes) -> None:
        """See :meth:`asyncio.Protocol.data_received`."""
        if self._expects:
            data = self._before + data
            try:
                found = read_introduction(data)
            except HandshakeError as error:
                self._leave()
                self.reception.refuse(self, self.transport, error)
                return
            if found is None:
                self._before = data
                return
            self._expects = False
            self._before = b""
            self.client = found.client
            data = data[found.length :]
        if data:
            super().data_received(data)
