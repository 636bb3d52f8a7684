from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.errors import HandshakeError
from odac.wire.handshake import (
    accept_value,
    offered_subprotocols,
    offered_token,
    reference_usual_offer,
    reference_usual_response,
    response_101,
    response_error,
    select_subprotocol,
    upgrade_key,
    usual_response,
)
from odac.wire.request import RequestHead, parse_request

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "wire.json").read_text())
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
GOOD = {
    b"Host": b"example.org",
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Key": KEY,
    b"Sec-WebSocket-Version": b"13",
}


def request(*more: tuple[bytes, bytes], line: bytes = b"GET /chat?x=1 HTTP/1.1", **changes: bytes | None) -> bytes:
    """A handshake; ``host=b"…"`` changes a header and ``host=None`` leaves it out."""
    headers = dict(GOOD)
    for name, value in changes.items():
        full = next(key for key in GOOD if key.lower().replace(b"sec-websocket-", b"") == name.encode())
        if value is None:
            del headers[full]
        else:
            headers[full] = value
    lines = [line, *(name + b": " + value for name, value in [*headers.items(), *more])]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def parse(data: bytes, max_headers: int = 100, max_header_bytes: int = 16384) -> RequestHead:
    return parse_request(data, max_headers=max_headers, max_header_bytes=max_header_bytes)


def refusal(data: bytes, **limits: int) -> HandshakeError:
    with pytest.raises(HandshakeError) as caught:
        upgrade_key(parse(data, **limits))
    return caught.value


def test_parse_request() -> None:
    head = parse(request((b"X-Odd", b"  \t spaced out\t "), (b"X-Empty", b"")) + b"what follows")
    assert (head.method, head.target, head.version) == (b"GET", b"/chat?x=1", b"HTTP/1.1")
    assert head.headers == [
        *((name.lower(), value) for name, value in GOOD.items()),
        (b"x-odd", b"spaced out"),
        (b"x-empty", b""),
    ]
    assert upgrade_key(head) == KEY


def test_request_without_headers() -> None:
    assert parse(b"GET / HTTP/1.1\r\n\r\n") == (b"GET", b"/", b"HTTP/1.1", [], True)


def test_values_beyond_ascii_pass_in_headers_that_are_not_the_handshakes() -> None:
    head = parse(request((b"Cookie", b"name=J\xf6rg"), (b"User-Agent", b"caf\xc3\xa9")))
    assert head.headers[-2:] == [(b"cookie", b"name=J\xf6rg"), (b"user-agent", b"caf\xc3\xa9")]
    assert upgrade_key(head) == KEY


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET",
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / /x HTTP/1.1\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1 \r\n\r\n",
        b"G\x00T / HTTP/1.1\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET /\x0b HTTP/1.1\r\n\r\n",
        b"GET / http/1.1\r\n\r\n",
        b"GET / HTTP/11\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"GET / HTTP/1.1\r\n: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nH\xc3\xb6st: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\x0bb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\x7f\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_what_is_not_http_is_400(data: bytes) -> None:
    with pytest.raises(HandshakeError) as caught:
        parse(data)
    assert caught.value.status == 400


def test_header_limits() -> None:
    many = b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n"
    assert len(parse(many, max_headers=200).headers) == 200
    assert refusal(many).status == 431
    assert "max_headers" in refusal(many, max_headers=199).reason
    large = b"GET / HTTP/1.1\r\na: " + b"x" * 93 + b"\r\nb: c\r\n\r\n"  # 98 + 6 bytes of header lines
    assert len(parse(large, max_header_bytes=104).headers) == 2
    with pytest.raises(HandshakeError, match=r"431.*max_header_bytes"):
        parse(large, max_header_bytes=103)
    with pytest.raises(HandshakeError, match="431"):
        parse(b"GET / HTTP/1.1\r\n" + b"x" * 1000, max_header_bytes=100)
    with pytest.raises(HandshakeError, match="414"):
        parse(b"GET /" + b"x" * 1000 + b" HTTP/1.1\r\n\r\n", max_header_bytes=100)
    with pytest.raises(HandshakeError, match="414"):
        parse(b"x" * 1000, max_header_bytes=100)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(line=b"POST / HTTP/1.1"), 405),
        (request(line=b"HEAD / HTTP/1.1"), 405),
        (request(line=b"get / HTTP/1.1"), 405),
        (request(line=b"GET / HTTP/1.0"), 400),
        (request(line=b"GET / HTTP/2.0"), 400),
        (request(host=None), 400),
        (request((b"Host", b"example.org")), 400),
        (request(host=b""), 400),
        (request(host=b"a b"), 400),
        (request(host=b"a, b"), 400),
        (request(host=b"a/b"), 400),
        (request(host=b"a@b"), 400),
        (request(host=b"a:b"), 400),
        (request(host=b"a:123456"), 400),
        (request(host=b"[::1"), 400),
        (request(upgrade=None), 426),
        (request(upgrade=b"h2c"), 426),
        (request(upgrade=b"websocketx"), 426),
        (request(connection=None), 400),
        (request(connection=b"keep-alive"), 400),
        (request(version=None), 426),
        (request(version=b"8"), 426),
        (request(version=b"013"), 426),
        (request(version=b"13, 8"), 426),
        (request((b"Sec-WebSocket-Version", b"13")), 426),
        (request(key=None), 400),
        (request(key=b""), 400),
        (request(key=b"dGhlIHNhbXBsZQ=="), 400),
        (request(key=KEY + b"AAAA"), 400),
        (request(key=KEY[:-2]), 400),
        (request(key=b"!" * 22 + b"=="), 400),
        (request((b"Sec-WebSocket-Key", KEY)), 400),
        (request((b"Content-Length", b"5")), 400),
        (request((b"Transfer-Encoding", b"chunked")), 400),
    ],
)
def test_what_is_no_handshake_is_refused(data: bytes, status: int) -> None:
    error = refusal(data)
    assert error.status == status
    answer = response_error(error.status, error.headers, error.reason)
    assert answer.startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    "data",
    [
        request(),
        request(upgrade=b"WebSocket"),
        request(upgrade=b"h2c, websocket"),
        request(connection=b"keep-alive, upgrade"),
        request(connection=b"Keep-Alive,UPGRADE ,"),
        request((b"Connection", b"keep-alive")),
        request(host=b"example.org:8000"),
        request(host=b"[::1]:8000"),
        request(host=b"xn--bcher-kva.example"),
        request((b"Content-Length", b"0")),
    ],
)
def test_handshakes(data: bytes) -> None:
    assert upgrade_key(parse(data)) == KEY


def test_refusals_say_what_would_do() -> None:
    assert refusal(request(line=b"POST / HTTP/1.1")).headers == (("Allow", "GET"),)
    assert refusal(request(version=b"8")).headers == (("Sec-WebSocket-Version", "13"),)
    assert dict(refusal(request(upgrade=None)).headers)["Upgrade"] == "websocket"


HANDSHAKE_HEADERS = [
    b"Host",
    b"Upgrade",
    b"Connection",
    b"Origin",
    b"Sec-WebSocket-Key",
    b"Sec-WebSocket-Version",
    b"Sec-WebSocket-Protocol",
    b"Sec-WebSocket-Extensions",
]


@pytest.mark.parametrize("name", HANDSHAKE_HEADERS)
@pytest.mark.parametrize(
    "value",
    [bytes(range(0x80, 0x100)), b"\x0b", b"\x0c", "\u2028".encode(), b"\x85", b"\x00", b"a\x1cb", b"\x7f"],
    ids=repr,
)
def test_no_handshake_header_takes_what_is_not_printable_ascii(name: bytes, value: bytes) -> None:
    for hostile in (value, b"x" + value + b"y"):
        assert refusal(request((name, hostile))).status == 400
        if name in GOOD:
            alone = {name.lower().decode().replace("sec-websocket-", ""): hostile}
            assert 400 <= refusal(request(**alone)).status < 500


@pytest.mark.parametrize("name", HANDSHAKE_HEADERS)
@pytest.mark.parametrize("filler", [b",", b" ", b", ", b"\t"], ids=repr)
def test_ten_thousand_commas_or_spaces_are_refused_in_linear_time(name: bytes, filler: bytes) -> None:
    """The time is compared with that of a tenth: quadratic work would take a hundred times as long."""

    def attempt(count: int) -> tuple[float, int]:
        value = filler * count
        headers = {n: v for n, v in GOOD.items() if n != name}
        fields = [(n.lower(), v) for n, v in [*headers.items(), (name, b"x" + value + b"x")]]
        head = RequestHead(b"GET", b"/", b"HTTP/1.1", fields, printable=False)
        start = process_time()
        status = 0
        for _ in range(20):
            try:
                upgrade_key(head)
                offered_subprotocols(head.headers)
            except HandshakeError as error:
                status = error.status
        return process_time() - start, status

    small, _ = attempt(10_000)
    large, status = attempt(100_000)
    if name != b"Origin" and (name != b"Sec-WebSocket-Extensions" or b"," in filler):
        assert 400 <= status < 500
    assert large < 0.1 + 40 * small


def test_a_whole_hostile_head_is_refused_in_linear_time() -> None:
    start = process_time()
    for filler in (b",", b" ", b"a: ", b":", b"\r", b"\n", b"\r\n\t", b"=;"):
        data = b"GET / HTTP/1.1\r\nHost: " + filler * 1_000_000
        with pytest.raises(HandshakeError):
            parse(data, max_headers=10**6, max_header_bytes=10**7)
        with pytest.raises(HandshakeError):
            upgrade_key(parse(data + b"\r\n\r\n", max_headers=10**7, max_header_bytes=10**7))
    assert process_time() - start < 10


def test_accept_value_of_rfc_6455_section_1_3() -> None:
    assert accept_value(KEY) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@given(bits=st.binary(min_size=16, max_size=16), speaks_odac=st.booleans())
def test_the_compiled_answer_is_the_references(bits: bytes, speaks_odac: bool) -> None:
    compiled = pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler").usual_response
    key = b64encode(bits)
    assert compiled(key, speaks_odac) == reference_usual_response(key, speaks_odac)


@pytest.mark.parametrize("speaks_odac", [False, True])
def test_the_usual_answer_names_the_protocol_that_is_spoken(speaks_odac: bool) -> None:
    assert usual_response(KEY, speaks_odac) == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        + (b"Sec-WebSocket-Protocol: odac.v1\r\n" if speaks_odac else b"")
        + b"\r\n"
    )


@pytest.mark.parametrize("arguments", [(KEY[:-1], False), (KEY + b"=", False), (KEY.decode(), True), (KEY, 1), (KEY,)])
def test_the_compiled_answer_takes_nothing_but_a_key(arguments: tuple[Any, ...]) -> None:
    compiled = pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler").usual_response
    with pytest.raises(TypeError, match="24 bytes"):
        compiled(*arguments)


def offers(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"a"), *((b"sec-websocket-protocol", value) for value in values)]


@pytest.mark.parametrize(
    ("values", "offered"),
    [
        ([], []),
        ([b"odac.v1, odac-token-abc"], ["odac.v1", "odac-token-abc"]),
        ([b"a", b"b,c"], ["a", "b", "c"]),
        ([b"a,,a , b,"], ["a", "b"]),
        ([b"a, b,a,c, b"], ["a", "b", "c"]),
        ([b", ".join(b"p%d" % number for number in range(9))], [f"p{number}" for number in range(9)]),
    ],
)
def test_offered_subprotocols(values: list[bytes], offered: list[str]) -> None:
    assert offered_subprotocols(offers(*values)) == offered


@pytest.mark.parametrize(
    "value", [b"", b" ", b",", b"a b", b"a;b", b"\xff", b'"a"', b"a,(b)", b"," * 10_000, b"a," * 65, b" " * 10_000]
)
def test_offers_that_are_no_list_of_tokens_are_refused(value: bytes) -> None:
    with pytest.raises(HandshakeError) as caught:
        offered_subprotocols(offers(value))
    assert caught.value.status == 400


def test_a_refused_offer_does_not_show_its_token() -> None:
    with pytest.raises(HandshakeError) as caught:
        offered_subprotocols(offers(b"odac-token-secret, a b"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("case", VECTORS["subprotocols"], ids=lambda case: case["why"])
def test_selection(case: dict[str, Any]) -> None:
    assert select_subprotocol(case["offered"], case["route"]) == case["selected"]
    assert offered_token(case["offered"]) == case["token"]


def test_response_101() -> None:
    assert response_101(b"accept", None, None, []) == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: accept\r\n\r\n"
    )
    answer = response_101(b"accept", "odac.v1", "permessage-deflate", [(b"Set-Cookie", b"a=b")])
    assert answer.endswith(
        b"Sec-WebSocket-Protocol: odac.v1\r\nSec-WebSocket-Extensions: permessage-deflate\r\nSet-Cookie: a=b\r\n\r\n"
    )


def test_response_error() -> None:
    answer = response_error(426, [("Sec-WebSocket-Version", "13")], "use version 13")
    assert answer == (
        b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 14\r\nConnection: close\r\n\r\nuse version 13"
    )
    assert response_error(403) == b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    assert response_error(426, [("Upgrade", "websocket"), ("Connection", "Upgrade")]) == (
        b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\nConnection: Upgrade, close\r\n\r\n"
    )
    assert response_error(499).startswith(b"HTTP/1.1 499 \r\n")


def test_response_error_keeps_its_own_length_and_the_type_that_was_given() -> None:
    answer = response_error(
        404,
        [(b"Content-Type", b"application/json"), (b"content-length", b"999"), (b"CONNECTION", b"keep-alive")],
        b"{}",
    )
    assert answer.lower().count(b"content-length") == answer.lower().count(b"connection") == 1
    assert b"Content-Type: application/json\r\n" in answer
    assert b"text/plain" not in answer
    assert b"Content-Length: 2\r\n" in answer


@pytest.mark.parametrize(
    "header",
    [
        (b"X", b"a\r\nEvil: 1"),
        (b"X", b"a\nEvil: 1"),
        (b"X", b"a\rb"),
        (b"X", b"a\x00b"),
        (b"X\r\nEvil", b"1"),
        (b"X: a\r\nEvil", b"1"),
        (b"", b"1"),
        (b"X Y", b"1"),
    ],
)
def test_header_injection_is_refused(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="must be a token"):
        response_101(b"accept", None, None, [header])
    with pytest.raises(ValueError, match="must be a token"):
        response_error(403, [header])


def test_injection_by_subprotocol_or_extension_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a token"):
        response_101(b"accept", "a\r\nEvil: 1", None, [])
    with pytest.raises(ValueError, match="must be a token"):
        response_101(b"accept", None, "a\r\nEvil: 1", [])


@given(st.lists(st.text("ab,!; \t(\x00", max_size=12).map(str.encode) | st.binary(max_size=8), max_size=3))
def test_the_compiled_offer_is_the_references(values: list[bytes]) -> None:
    compiled = pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler").usual_offer
    headers = offers(*values)
    assert compiled(headers) == reference_usual_offer(headers)


@pytest.mark.parametrize("number", [1, 8, 9, 64])
def test_the_usual_offer_has_at_most_eight_tokens(number: int) -> None:
    compiled = pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler").usual_offer
    headers = offers(b",".join(b"p%d" % each for each in range(number)))
    assert compiled(headers) == reference_usual_offer(headers)
    assert (compiled(headers) is None) == (number > 8)


@pytest.mark.parametrize(
    "headers", [(), None, [None], [[b"sec-websocket-protocol", b"a"]], [(b"host",)], [(b"a", "b")], [("host", b"b")]]
)
def test_the_compiled_offer_leaves_other_objects_to_the_reference(headers: Any) -> None:
    compiled = pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler").usual_offer
    assert compiled(headers) is None
