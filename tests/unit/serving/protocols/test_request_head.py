"""What the bytes of a request's head are taken for, however they arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.config import Limits
from odac.errors import HandshakeError
from odac.serving.protocols.request_head import (
    Head,
    as_http_1_1,
    check_fields,
    origin_form,
    read_head,
    with_lower_names,
    without_upgrade,
)
from odac.wire.request import parse_request

LIMITS = Limits(max_headers=5, max_header_bytes=200)
REQUEST = b"GET /x HTTP/1.1\r\n"
UPGRADE = b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"


def verdict(data: bytes, known: int = 0) -> Head | int:
    try:
        return read_head(data, known, LIMITS)
    except HandshakeError as error:
        return error.status


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 400),
        (b"G", Head.UNFINISHED),
        (b"GET /x HTT", Head.UNFINISHED),
        (REQUEST, Head.UNFINISHED),
        (REQUEST + b"\r\n", Head.HTTP),
        (REQUEST + b"Host: x\r\n", Head.UNFINISHED),
        (REQUEST + b"Host: x\r\n\r\nbody", Head.HTTP),
        (b"GET /x HTTP/1.0\r\n\r\n", Head.HTTP),
        (REQUEST + UPGRADE + b"\r\n", Head.WEBSOCKET),
        (REQUEST + UPGRADE.upper() + b"\r\n\x81\x80", Head.WEBSOCKET),
        (REQUEST + b"upgrade:\t h2c, WebSocket \r\nconnection: x,\tUPGRADE\r\n\r\n", Head.WEBSOCKET),
        (REQUEST + b"upgrade: not-websocket\r\nconnection: upgrade\r\n\r\n", Head.HTTP),
        (REQUEST + b"upgrade: websocket\r\nconnection: close\r\n\r\n", Head.HTTP),
        (REQUEST + b"upgrade: websocket\r\n\r\n", Head.HTTP),
        (b"GET /x HTTP/1.0\r\n" + UPGRADE + b"\r\n", Head.HTTP),
        (b"GET /x HTTP/1.2\r\n" + UPGRADE + b"\r\n", Head.WEBSOCKET),
        (REQUEST + b"Upgrade: h2c\r\n\r\n", Head.HTTP),
        (REQUEST + b"X-Upgrade: websocket\r\n\r\n", Head.HTTP),
        (REQUEST + b"A: b\r\n\r\nUpgrade: websocket\r\n\r\n", Head.HTTP),
        (b"GET /x HTTP/2.0\r\n", 505),
        (b"GET /x HTTP/0.9\r\n\r\n", 505),
        (b"GET /x HTTP/1.10\r\n\r\n", 400),
        (b"GET /x\r\n", 400),
        (b"GET  /x HTTP/1.1\r\n", 400),
        (b"\x16\x03\x01", 400),
        (b"G\xc3\x89T", 400),
        (b"GET /x HTTP/1.1\nHost: x\n\n", 400),
        (b"M" * 41, 400),
        (b"GET /" + b"x" * 196, 414),
        (b"GET /" + b"x" * 196 + b" HTTP/1.1\r\n\r\n", 414),
        (REQUEST + b"a: b\r\n" * 5 + b"\r\n", Head.HTTP),
        (REQUEST + b"a: b\r\n" * 5, Head.UNFINISHED),
        (REQUEST + b"a: b\r\n" * 6 + b"\r\n", 431),
        (REQUEST + b"a: b\r\n" * 6, 431),
        (REQUEST + b"a: " + b"b" * 197 + b"\r\n\r\n", Head.HTTP),
        (REQUEST + b"a: " + b"b" * 198 + b"\r\n\r\n", 431),
        (REQUEST + b"a: " + b"b" * 197 + b"\r\n\r", Head.UNFINISHED),
        (REQUEST + b"a: " + b"b" * 201, 431),
    ],
    ids=repr,
)
def test_verdicts(data: bytes, expected: Head | int) -> None:
    assert verdict(data) == expected


requests = st.sampled_from(
    [
        REQUEST + UPGRADE + b"\r\n",
        REQUEST + b"A: b\r\n\r\n",
        REQUEST + b"a: b\r\n" * 5 + b"\r\n",
        REQUEST + b"a: b\r\n" * 7 + b"\r\n",
        REQUEST + b"a: " + b"b" * 197 + b"\r\n\r\n",
        REQUEST + b"a: " + b"b" * 300 + b"\r\n\r\n",
        b"GET /" + b"x" * 300 + b" HTTP/1.1\r\n\r\n",
        b"GET /x HTTP/3.0\r\n\r\n",
        b"nonsense without end",
        b"GET / HTTP/1.1\n\n\n\n\r\n\r\n",
    ]
)


@given(request=requests, cuts=st.sets(st.integers(1, 320)))
def test_pieces_make_no_difference(request: bytes, cuts: set[int]) -> None:
    known = 0
    last: Head | int = Head.UNFINISHED
    for cut in [*sorted(cut for cut in cuts if cut < len(request)), len(request)]:
        last = verdict(request[:cut], known)
        known = cut
        if last is not Head.UNFINISHED:
            break
    assert last == verdict(request)


@given(st.binary(max_size=300) | st.builds(lambda tail: REQUEST + UPGRADE + tail, st.binary(max_size=150)))
def test_any_bytes_end_in_a_verdict_that_the_handshake_parser_shares(data: bytes) -> None:
    """What is let through to the WebSocket is within the limits as the parser there counts them."""
    if verdict(data) is Head.WEBSOCKET:
        status = 0
        try:
            parse_request(data, max_headers=LIMITS.max_headers, max_header_bytes=LIMITS.max_header_bytes)
        except HandshakeError as error:
            status = error.status
        assert status in (0, 400)


def test_only_the_names_of_headers_become_lower_case() -> None:
    data = b"GET /Path HTTP/1.1\r\nHost: Example\r\nX-Y: Z: W\r\nno colon\r\n\r\nBody: Kept\r\n\r\n"
    lower = b"GET /Path HTTP/1.1\r\nhost: Example\r\nx-y: Z: W\r\nno colon\r\n\r\nBody: Kept\r\n\r\n"
    assert with_lower_names(data) == lower


def test_later_minor_versions_are_read_as_1_1() -> None:
    assert as_http_1_1(b"GET / HTTP/1.7\r\nHost: x\r\n\r\n") == b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    for unchanged in (b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.0\r\nA: HTTP/1.7\r\n\r\n"):
        assert as_http_1_1(unchanged) is unchanged


def test_upgrade_headers_are_taken_out() -> None:
    data = REQUEST + b"A: b\r\nUPGRADE: h2c \r\nX: upgrade:\r\nupgrade: y\r\n\r\n"
    assert without_upgrade(data) == (
        REQUEST + b"A: b\r\nX: upgrade:\r\n\r\n",
        [(b"upgrade", b"h2c"), (b"upgrade", b"y")],
    )
    assert without_upgrade(REQUEST + b"A: b\r\n\r\n")[1] == []


@pytest.mark.parametrize(
    ("version", "fields", "expected"),
    [
        ("1.1", {b"host": [b"x"]}, 0),
        ("1.0", {}, 0),
        ("1.1", {}, 400),
        ("1.0", {b"host": [b"a/b"]}, 400),
        ("1.1", {b"host": [b"x", b"x"]}, 400),
        ("1.1", {b"host": [b""]}, 0),
        ("1.1", {b"host": [b"x"], b"content-length": [b"17"]}, 17),
        ("1.1", {b"host": [b"x"], b"content-length": [b"1", b"1"]}, 400),
        ("1.1", {b"host": [b"x"], b"content-length": [b"+1"]}, 400),
        ("1.1", {b"host": [b"x"], b"transfer-encoding": [b"Chunked"]}, None),
        ("1.1", {b"host": [b"x"], b"transfer-encoding": [b"gzip, chunked"]}, 501),
        ("1.1", {b"host": [b"x"], b"transfer-encoding": [b"gzip", b"chunked"]}, 501),
        ("1.1", {b"host": [b"x"], b"transfer-encoding": [b"chunked, gzip"]}, 400),
        ("1.1", {b"host": [b"x"], b"transfer-encoding": [b"chunked, chunked"]}, 400),
        ("1.1", {b"host": [b"x"], b"transfer-encoding": [b"identity"]}, 400),
        ("1.0", {b"transfer-encoding": [b"chunked"]}, 400),
        ("1.1", {b"host": [b"x"], b"transfer-encoding": [b"chunked"], b"content-length": [b"1"]}, 400),
    ],
)
def test_fields_of_every_request(version: str, fields: dict[bytes, list[bytes]], expected: int | None) -> None:
    headers = [(name, value) for name, values in fields.items() for value in values]
    found: int | None
    try:
        found = check_fields(version, headers)
    except HandshakeError as error:
        found = error.status
    assert found == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/a?b", (None, b"/a?b")),
        (b"//x/a", (None, b"//x/a")),
        (b"*", (None, b"*")),
        (b"http://x", (b"x", b"/")),
        (b"WSS://x:1?q", (b"x:1", b"/?q")),
        (b"https://[::1]/a?b", (b"[::1]", b"/a?b")),
        (b"http://a@b/", None),
        (b"http:///a", None),
    ],
)
def test_request_targets(target: bytes, expected: tuple[bytes | None, bytes] | None) -> None:
    if expected is None:
        with pytest.raises(HandshakeError):
            origin_form(target)
    else:
        assert origin_form(target) == expected


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "PROXY protocol"),
        (b"\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0c".lstrip(b"\r\n"), "PROXY protocol"),
        (b"\x16\x03\x01\x02\x00\x01", "TLS"),
        (b"nonsense\r\n", "request line"),
    ],
)
def test_what_is_no_http_is_named(data: bytes, name: str) -> None:
    with pytest.raises(HandshakeError, match=name):
        read_head(data, 0, LIMITS)
