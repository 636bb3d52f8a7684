"""How long the steps of a message take in the wire's code, without a socket:
``pytest benchmarks/micro --benchmark-only``.
"""

from __future__ import annotations

from typing import Any

import pytest

from odac.protocol.codec import decode_text, encode
from odac.protocol.message import Prepared
from odac.wire.frames import BINARY, CONTINUATION, PING, TEXT, encode_frame, encode_masked_frame
from odac.wire.handshake import accept_value, response_101, upgrade_key
from odac.wire.parser import Parser
from odac.wire.request import parse_request

MASK = b"\x9d\x01\xfe\x42"
JSON = b'{"type":"message","text":"hello world, this is 64 bytes of JSON!"}'[:64]
REQUEST = (
    b"GET /chat HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Origin: https://example.org\r\nUser-Agent: a browser\r\nCookie: session=0123456789abcdef\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: odac.v1, odac-token-0123456789abcdef\r\n\r\n"
)

STREAMS: dict[str, bytes] = {
    "64 bytes of text": encode_masked_frame(TEXT, JSON, MASK),
    "64 bytes of binary": encode_masked_frame(BINARY, JSON, MASK),
    "64 bytes beyond ASCII": encode_masked_frame(TEXT, "é".encode() * 32, MASK),
    "1 KiB of text": encode_masked_frame(TEXT, JSON * 16, MASK),
    "64 KiB of binary": encode_masked_frame(BINARY, bytes(65536), MASK),
    "1 MiB of binary": encode_masked_frame(BINARY, bytes(1 << 20), MASK),
    "a ping": encode_masked_frame(PING, b"", MASK),
    "64 bytes of text, 16 times": encode_masked_frame(TEXT, JSON, MASK) * 16,
    "two fragments": encode_masked_frame(TEXT, JSON, MASK, fin=False) + encode_masked_frame(CONTINUATION, JSON, MASK),
}


@pytest.mark.parametrize("name", STREAMS)
def test_parser_feed(benchmark: Any, name: str) -> None:
    parser = Parser(1 << 20, 1024)
    assert benchmark(parser.feed, STREAMS[name])
    assert parser.error is None


def test_parser_in_two_segments(benchmark: Any) -> None:
    parser = Parser(1 << 20, 1024)
    first, second = STREAMS["64 bytes of text"][:30], STREAMS["64 bytes of text"][30:]

    def feed() -> object:
        parser.feed(first)
        return parser.feed(second)

    assert benchmark(feed) == [(TEXT, JSON)]


@pytest.mark.parametrize("size", [64, 1024, 65536])
def test_encode_frame(benchmark: Any, size: int) -> None:
    assert benchmark(encode_frame, TEXT, bytes(size))


@pytest.mark.parametrize("size", [64, 1024])
def test_prepared(benchmark: Any, size: int) -> None:
    assert benchmark(Prepared, TEXT, bytes(size))


@pytest.mark.parametrize(
    "data", ["hello", b"hello", {"type": "message", "text": "hello"}], ids=["str", "bytes", "dict"]
)
def test_encode(benchmark: Any, data: object) -> None:
    assert benchmark(encode, data)


@pytest.mark.parametrize("payload", [JSON[:-1] + b"}", b"hello world", b"true"], ids=["json", "text", "word"])
def test_decode_text(benchmark: Any, payload: bytes) -> None:
    assert benchmark(decode_text, payload)


@pytest.mark.parametrize("bits", [15, 9])
def test_compress(benchmark: Any, bits: int) -> None:
    assert benchmark(lambda: Prepared(TEXT, JSON * 16).compressed(bits))


def test_handshake(benchmark: Any) -> None:
    def handshake() -> bytes:
        head = parse_request(REQUEST, max_headers=100, max_header_bytes=16384)
        return response_101(accept_value(upgrade_key(head)), "odac.v1", None)

    assert benchmark(handshake)
