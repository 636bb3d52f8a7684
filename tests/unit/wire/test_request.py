"""The usual handshake, taken in one look: the compiled function and its reference take the same, and nothing that is
wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.wire.handshake import upgrade_key
from odac.wire.headers import MAX_LIST
from odac.wire.request import parse_request, reference_usual_request

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
SIZE = 16 * 1024
Field = tuple[bytes, bytes]

FIELDS = st.lists(
    st.sampled_from(
        [
            (b"upgrade", b"websocket"),
            (b"upgrade", b"WebSocket, h2c"),
            (b"connection", b"Upgrade"),
            (b"connection", b"keep-alive, Upgrade"),
            (b"connection", b"close"),
            (b"sec-websocket-version", b"13"),
            (b"sec-websocket-version", b"8"),
            (b"sec-websocket-key", KEY),
            (b"sec-websocket-key", KEY[:-1]),
            (b"host", b"example.com"),
            (b"host", b"a b"),
            (b"sec-websocket-protocol", b"," * MAX_LIST),
            (b"sec-websocket-extensions", b"," * MAX_LIST),
            (b"sec-websocket-protocol", b"chat"),
            (b"content-length", b"0"),
            (b"content-length", b"1"),
            (b"transfer-encoding", b"chunked"),
            (b"origin", b"\xff"),
            (b"cookie", b"a=\xff"),
        ]
    ),
    max_size=3,
)
USUAL = [
    (b"host", b"example.com"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-key", KEY),
    (b"sec-websocket-version", b"13"),
]


@pytest.fixture(params=["reference", "compiled"], scope="module")
def usual_request(request: pytest.FixtureRequest) -> Any:
    if request.param == "reference":
        return reference_usual_request
    return pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler").usual_request


def head_of(fields: Sequence[Field], line: bytes = b"GET / HTTP/1.1") -> bytes:
    return b"\r\n".join([line, *(name + b": " + value for name, value in fields), b"", b""])


def test_what_a_browser_sends_is_usual(usual_request: Any) -> None:
    data = (
        b"GET /chat?x=1 HTTP/1.1\r\nHost: example.com:8000\r\nConnection:\tkeep-alive, Upgrade \r\nPragma: no-cache\r\n"
        b"Upgrade: websocket\r\nOrigin: http://example.com:8000\r\nSEC-WebSocket-Version:13\r\nCookie: a=b; c=d\r\n"
        b"Sec-WebSocket-Key: " + KEY + b"\r\nX-Empty:\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    )
    assert usual_request(data + b"more", 100, SIZE, MAX_LIST) == (
        b"/chat?x=1",
        [
            (b"host", b"example.com:8000"),
            (b"connection", b"keep-alive, Upgrade"),
            (b"pragma", b"no-cache"),
            (b"upgrade", b"websocket"),
            (b"origin", b"http://example.com:8000"),
            (b"sec-websocket-version", b"13"),
            (b"cookie", b"a=b; c=d"),
            (b"sec-websocket-key", KEY),
            (b"x-empty", b""),
            (b"sec-websocket-extensions", b"permessage-deflate"),
        ],
        KEY,
        len(data),
    )


@pytest.mark.parametrize("cut", range(len(head_of(USUAL))))
def test_what_is_unfinished_is_not(usual_request: Any, cut: int) -> None:
    assert usual_request(head_of(USUAL)[:cut], 100, SIZE, MAX_LIST) is None


@pytest.mark.parametrize("host", [b"a", b"a.b:1", b"[::1]", b"[::1]:80", b"a_b~%2", b"1.2.3.4:65535", b"a:"])
def test_hosts(usual_request: Any, host: bytes) -> None:
    assert usual_request(head_of([(b"Host", host), *USUAL[1:]]), 100, SIZE, MAX_LIST) is not None


@pytest.mark.parametrize(
    "host",
    [b"", b"[]", b"[::1", b"[::1]x", b"a:123456", b"a:b", b":80", b"a b", b"[::g]", b"[]:", b"a/b", b"a@b"],
)
def test_hosts_that_are_none(usual_request: Any, host: bytes) -> None:
    assert usual_request(head_of([(b"Host", host), *USUAL[1:]]), 100, SIZE, MAX_LIST) is None


def test_limits(usual_request: Any) -> None:
    data = head_of(USUAL)
    size = len(data) - len(b"GET / HTTP/1.1\r\n\r\n")
    assert usual_request(data, len(USUAL), size, MAX_LIST) is not None
    assert usual_request(data, len(USUAL) - 1, size, MAX_LIST) is None
    assert usual_request(data, len(USUAL), size - 1, MAX_LIST) is None
    long = head_of(USUAL, b"GET /" + b"a" * 1000 + b" HTTP/1.1")
    assert usual_request(long, len(USUAL), 1013, MAX_LIST) is None
    assert usual_request(long, len(USUAL), 1014, MAX_LIST) is not None
    for name in (b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions"):
        assert usual_request(head_of([*USUAL, (name, b"a,b")]), 100, SIZE, 2) is not None
        assert usual_request(head_of([*USUAL, (name, b"a,b")]), 100, SIZE, 1) is None
    many = [(b"x-%d" % i, b"") for i in range(32 - len(USUAL))]
    assert usual_request(head_of([*USUAL, *many]), 100, SIZE, MAX_LIST) is not None
    assert usual_request(head_of([*USUAL, *many, (b"one", b"more")]), 100, SIZE, MAX_LIST) is None
    assert usual_request(head_of([*USUAL, (b"x" * 64, b"")]), 100, SIZE, MAX_LIST) is not None
    assert usual_request(head_of([*USUAL, (b"x" * 65, b"")]), 100, SIZE, MAX_LIST) is None


@given(FIELDS, st.sets(st.sampled_from(USUAL), max_size=1), st.sampled_from([b"GET"] * 4 + [b"POST"]))
def test_the_usual_is_what_passes_every_check(
    usual_request: Any, more: list[Field], missing: set[Field], method: bytes
) -> None:
    data = head_of([field for field in USUAL if field not in missing] + more, method + b" / HTTP/1.1")
    usual = usual_request(data, 100, SIZE, MAX_LIST)
    if usual is not None:
        head = parse_request(data, max_headers=100, max_header_bytes=SIZE)
        assert usual == (head.target, head.headers, upgrade_key(head), len(data))
    elif not more and not missing and method == b"GET":
        raise AssertionError("this is the usual one")


@given(st.data())
def test_whatever_the_bytes_both_say_the_same(data: st.DataObject) -> None:
    compiled: Any = pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler").usual_request
    head = bytearray(head_of([*USUAL, (b"Origin", b"http://a.b"), (b"Cookie", b"a=b")]))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(head) - 1))
        piece = data.draw(
            st.binary(max_size=2) | st.sampled_from([b"\r\n", b": ", b" ", b"\t", b",", b"\x7f", b"\xe9"])
        )
        head[at : at + data.draw(st.integers(0, 2))] = piece
    bounds = data.draw(st.sampled_from([(100, SIZE), (6, SIZE), (7, SIZE), (100, 180), (100, 10)]))
    arguments = (bytes(head), *bounds, MAX_LIST)
    assert compiled(*arguments) == reference_usual_request(*arguments)


@pytest.mark.parametrize("arguments", [(), (b"",), (b"", 1, 2), ("", 1, 2, 3), (b"", "", 2, 3), (b"", 1, 2, 1 << 70)])
def test_other_arguments_are_refused(arguments: tuple[Any, ...]) -> None:
    compiled: Any = pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler").usual_request
    with pytest.raises((TypeError, OverflowError)):
        compiled(*arguments)
