"""permessage-deflate (RFC 7692): negotiation, bounded inflating, and one compressed frame for many receivers."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from odac.close_codes import CloseCode
from odac.errors import ProtocolError
from odac.wire.frames import BINARY, encode_frame
from odac.wire.headers import Malformed, parse_extensions

if TYPE_CHECKING:
    from zlib import _Decompress

__all__ = ["Inflater", "Negotiated", "deflate_frame", "negotiate"]

MIN_COMPRESSED: Final = 96
"""Payloads below this many bytes are sent uncompressed: deflate saves almost nothing on them and costs 10 µs."""

CLIENT_BITS: Final = 12
"""The window requested from clients that let the server choose: 4 KiB of memory for each instead of 32."""

_TAIL: Final = b"\x00\x00\xff\xff"
_LEVEL: Final = 6
_MEMORY: Final = 8
_MAX_STREAMS: Final = 16
"""Final blocks (BFINAL, RFC 7692 section 7.2.3.4) that one message may hold; each costs a new zlib object."""


class Negotiated:
    """The parameters that a server and a client agreed on.

    Attributes:
        response: the value of the answer's ``Sec-WebSocket-Extensions``.
        server_bits: the window that the server compresses with, 8 to 15.
        client_bits: the window that the client compresses with, 8 to 15.
        client_takeover: whether the client may refer to its earlier messages.
    """

    __slots__ = ("client_bits", "client_takeover", "response", "server_bits")

    def __init__(self, server_bits: int | None, client_bits: int | None, *, client_takeover: bool) -> None:
        self.server_bits = server_bits or zlib.MAX_WBITS
        self.client_bits = client_bits or zlib.MAX_WBITS
        self.client_takeover = client_takeover
        # The server never carries context over, so that one compressed frame serves all with the same window.
        response = "permessage-deflate; server_no_context_takeover"
        if not client_takeover:
            response += "; client_no_context_takeover"
        if server_bits is not None:
            response += f"; server_max_window_bits={server_bits}"
        if client_bits is not None:
            response += f"; client_max_window_bits={client_bits}"
        self.response = response

    def inflater(self, max_payload: int) -> Inflater:
        """Return the decompressor of one connection's incoming messages.

        Args:
            max_payload: bytes that one message may inflate to.
        """
        return Inflater(max_payload, self.client_bits, takeover=self.client_takeover)


def negotiate(header_values: Sequence[str]) -> Negotiated | None:
    """Accept the first valid offer of permessage-deflate (RFC 7692 section 5).

    Args:
        header_values: the values of all ``Sec-WebSocket-Extensions`` headers, in order.

    Returns:
        None when there is no such offer; offers with unknown, repeated or invalid parameters are declined.
    """
    try:
        for name, parameters in parse_extensions(header_values):
            if name == "permessage-deflate" and (agreed := _accept(parameters)) is not None:
                return agreed
    except Malformed:
        return None
    return None


def _accept(parameters: list[tuple[str, str | None]]) -> Negotiated | None:
    server_bits = client_bits = None
    client_takeover = True
    seen = set()
    for name, value in parameters:
        if name in seen:
            return None
        seen.add(name)
        if name == "server_no_context_takeover" or name == "client_no_context_takeover":
            if value is not None:
                return None
            client_takeover = client_takeover and name != "client_no_context_takeover"
        elif name == "server_max_window_bits":
            if value is None or value not in _BITS:
                return None
            server_bits = int(value)
        elif name == "client_max_window_bits":
            # Without a value, it only says that the server may ask the client for a smaller window.
            if value is not None and value not in _BITS:
                return None
            client_bits = min(CLIENT_BITS, int(value or CLIENT_BITS))
        else:
            return None
    return Negotiated(server_bits, client_bits, client_takeover=client_takeover)


_BITS: Final = ("8", "9", "10", "11", "12", "13", "14", "15")
"""The values that RFC 7692 section 7.1.2 allows, without leading zeros."""


class Inflater:
    """Inflates one peer's messages, a bounded amount at a time.

    Args:
        max_payload: bytes that one message may inflate to.
        bits: the window that the peer compresses with, 8 to 15.
        takeover: whether the peer's messages may refer to its earlier ones; if not, nothing is kept between them.
    """

    __slots__ = ("_bits", "_max_payload", "_room", "_streams", "_takeover", "_zlib")

    def __init__(self, max_payload: int, bits: int = zlib.MAX_WBITS, *, takeover: bool = True) -> None:
        self._max_payload = max_payload
        self._bits = bits
        self._takeover = takeover
        self._room = max_payload
        self._streams = 0
        self._zlib: _Decompress | None = None

    def limit(self, max_payload: int) -> None:
        """Let messages inflate to ``max_payload`` bytes from now on, including one that is partly received."""
        self._room += max_payload - self._max_payload
        self._max_payload = max_payload

    def inflate(self, data: bytes, *, last: bool) -> bytes:
        """Inflate the next part of a message.

        Args:
            data: compressed bytes, as they were in the frame.
            last: whether the message ends with them.

        Raises:
            ProtocolError: 1009 when the message grows past ``max_payload`` (nothing beyond it is inflated), 1007 when
                the data is not deflate data.
        """
        try:
            parts = list(self._inflate(data))
            if last:
                # A stream that a final block ended needs no tail; RFC 7692 section 7.2.2 adds it otherwise.
                if self._zlib is not None or not self._streams:
                    parts.extend(self._inflate(_TAIL))
                self._room = self._max_payload
                self._streams = 0
                if not self._takeover:
                    self._zlib = None
        except zlib.error:
            raise ProtocolError(CloseCode.INVALID_DATA, "compressed message that does not inflate") from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._zlib is None:
                self._zlib = zlib.decompressobj(-self._bits)
            part = self._zlib.decompress(data, self._room + 1)
            self._room -= len(part)
            if self._room < 0:
                raise ProtocolError(
                    CloseCode.MESSAGE_TOO_BIG,
                    f"message inflates to more than {self._max_payload} bytes (max_payload)",
                    "max_payload",
                )
            if part:
                yield part
            if not self._zlib.eof:
                return
            # A final block ended this deflate stream; what follows begins a new one.
            data = self._zlib.unused_data
            self._zlib = None
            self._streams += 1
            if self._streams > _MAX_STREAMS:
                raise ProtocolError(
                    CloseCode.POLICY_VIOLATION, f"compressed message with more than {_MAX_STREAMS} final blocks"
                )


def deflate_frame(opcode: int, payload: bytes, bits: int) -> bytes:
    """Return one complete frame, with the payload compressed without context if that makes it smaller.

    Args:
        opcode: of the frame; control frames are never compressed.
        payload: the bytes to compress.
        bits: the window, 8 to 15.
    """
    if len(payload) >= MIN_COMPRESSED and opcode <= BINARY:
        # zlib has no raw deflate with a window of 256 bytes. Run-length matches reach back one byte: they fit any
        # window.
        strategy = zlib.Z_DEFAULT_STRATEGY if bits > 8 else zlib.Z_RLE
        compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -max(bits, 9), _MEMORY, strategy)
        compressed = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        if len(compressed) - 4 < len(payload):
            return encode_frame(opcode, compressed[:-4], rsv1=True)
    return encode_frame(opcode, payload)
