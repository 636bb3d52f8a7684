from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.errors import ConfigurationError
from odac.security.origin import OriginPolicy


def scope(
    origin: bytes | Sequence[bytes] | None, host: bytes | Sequence[bytes] = b"example.com", scheme: str = "ws"
) -> dict[str, object]:
    origins = [] if origin is None else [origin] if isinstance(origin, bytes) else origin
    hosts = [host] if isinstance(host, bytes) else host
    headers = [*((b"host", each) for each in hosts), (b"accept", b"*/*"), *((b"origin", each) for each in origins)]
    return {"type": "websocket", "scheme": scheme, "path": "/", "headers": headers}


SAME = [
    (b"http://example.com", b"example.com", "ws"),
    (b"https://example.com", b"example.com", "wss"),
    (b"http://example.com", b"example.com", "http"),
    (b"https://example.com", b"example.com", "https"),
    (b"http://example.com:8000", b"example.com:8000", "ws"),
    (b"http://example.com", b"example.com:80", "ws"),
    (b"https://example.com", b"example.com:443", "wss"),
    (b"https://example.com:443", b"example.com", "wss"),
    (b"http://example.com", b"EXAMPLE.com", "ws"),
    (b"http://localhost:8000", b"localhost:8000", "ws"),
    (b"http://127.0.0.1:8000", b"127.0.0.1:8000", "ws"),
    (b"http://[::1]:8000", b"[::1]:8000", "ws"),
    (b"http://[::1]", b"[0:0:0:0:0:0:0:1]:80", "ws"),
    (b"http://my_service:8000", b"my_service:8000", "ws"),
    (b"http://xn--bcher-kva.example", b"xn--bcher-kva.example", "ws"),
    (b"http://example.com.", b"example.com.", "ws"),
]


@pytest.mark.parametrize(("origin", "host", "scheme"), SAME)
def test_the_requests_own_origin_is_allowed(origin: bytes, host: bytes, scheme: str) -> None:
    assert OriginPolicy().refusal(scope(origin, host, scheme)) is None
    assert OriginPolicy().refusal(scope(origin, host, scheme)) is None


def test_without_the_header_it_is_no_browser() -> None:
    assert OriginPolicy().refusal(scope(None)) is None
    assert OriginPolicy().refusal(scope(None, [])) is None


FOREIGN = [
    (b"http://evil.example", b"example.com", "ws"),
    (b"http://example.com.evil.example", b"example.com", "ws"),
    (b"http://evil-example.com", b"example.com", "ws"),
    (b"http://evilexample.com", b"example.com", "ws"),
    (b"http://example.co", b"example.com", "ws"),
    (b"http://sub.example.com", b"example.com", "ws"),
    (b"http://example.com", b"sub.example.com", "ws"),
    (b"http://example.com.", b"example.com", "ws"),
    (b"http://example.com:81", b"example.com", "ws"),
    (b"http://example.com:8000", b"example.com:80", "ws"),
    (b"http://example.com", b"example.com:8000", "ws"),
    (b"https://example.com", b"example.com", "ws"),
    (b"http://example.com", b"example.com", "wss"),
    (b"ftp://example.com", b"example.com", "ws"),
    (b"ws://example.com", b"example.com", "ws"),
    (b"chrome-extension://example.com", b"example.com", "ws"),
    (b"http://[::1]", b"[::2]", "ws"),
    (b"http://127.0.0.1", b"localhost", "ws"),
    (b"http://example.com", b"example.com", "gopher"),
]


@pytest.mark.parametrize(("origin", "host", "scheme"), FOREIGN)
def test_any_other_origin_is_refused_with_the_setting_that_allows_it(origin: bytes, host: bytes, scheme: str) -> None:
    reason = OriginPolicy().refusal(scope(origin, host, scheme))
    assert reason is not None
    assert f"origins=['{origin.decode()}']" in reason


UNPARSABLE = [
    b"null",
    b"",
    b" ",
    b"example.com",
    b"//example.com",
    b"http:example.com",
    b"http:/example.com",
    b"http://",
    b"http://example.com/",
    b"http://example.com/path",
    b"http://example.com?query",
    b"http://example.com#fragment",
    b"http://user@example.com",
    b"http://example.com@evil.example",
    b"http://user:pass@example.com",
    b"http://example.com:",
    b"http://example.com:http",
    b"http://example.com:-80",
    b"http://example.com:80:80",
    b"http://example.com:65536",
    b"http://example.com:999999",
    b"http://example.com\\evil.example",
    b"http://example.com http://evil.example",
    b"http://example.com, http://example.com",
    b"http://example.com\x00.evil.example",
    b"http://example.com\r\nX: y",
    b"http://example.com\n",
    b"http://ex%61mple.com",
    b"HTTP://example.com",
    b"http://ex\xc3\xa4mple.com",
    b"http://\xff",
    b"http://[::1",
    b"http://[::1]x",
    b"http://[:::1]",
    b"http://[::1%25eth0]",
    b"http://::1",
    b"http://*",
    b"javascript://example.com%0aalert(1)",
]


@pytest.mark.parametrize("origin", UNPARSABLE)
@pytest.mark.parametrize("echo", [False, True], ids=["host", "host-echoes-it"])
def test_what_does_not_parse_is_refused(origin: bytes, echo: bool) -> None:
    """Also where the Host header repeats the junk, so that the two are equal as strings."""
    host = origin.removeprefix(b"http://") if echo else b"example.com"
    policy = OriginPolicy("https://app.example.com")
    assert policy.refusal(scope(origin, host)) is not None


@pytest.mark.parametrize(
    "host",
    [
        b"example.com@evil.example",
        b"evil.example, example.com",
        b"example.com/",
        b"example.com:80:80",
        b"example.com:99999",
        b"example.com ",
        b"exa mple.com",
        b"",
        b"\xff",
        b"example.com\x00",
        b"[example.com]",
    ],
)
def test_junk_in_the_host_header_is_refused(host: bytes) -> None:
    assert "Host header" in str(OriginPolicy().refusal(scope(b"http://example.com", host)))


def test_two_of_either_header_are_refused_even_where_they_agree() -> None:
    assert "2 Origin headers" in str(OriginPolicy().refusal(scope([b"http://example.com"] * 2)))
    assert "2 Host headers" in str(OriginPolicy().refusal(scope(b"http://example.com", [b"example.com"] * 2)))
    assert "0 Host headers" in str(OriginPolicy().refusal(scope(b"http://example.com", [])))
    evil = [b"http://example.com", b"http://evil.example"]
    assert OriginPolicy().refusal(scope(evil)) is not None
    assert OriginPolicy().refusal(scope(evil[::-1])) is not None


@pytest.mark.parametrize(
    ("allowed", "origin"),
    [
        ("https://app.example.com", b"https://app.example.com"),
        (["https://app.example.com"], b"https://app.example.com:443"),
        (["HTTPS://App.Example.com"], b"https://app.example.com"),
        (["https://a.example", "http://b.example:8080"], b"http://b.example:8080"),
        (["http://[0::1]:3000"], b"http://[::1]:3000"),
        (["capacitor://localhost"], b"capacitor://localhost"),
        (["chrome-extension://abcdefgh"], b"chrome-extension://abcdefgh"),
    ],
)
def test_an_allowed_origin_is_allowed(allowed: str | list[str], origin: bytes) -> None:
    assert OriginPolicy(allowed).refusal(scope(origin, b"server.example", "wss")) is None
    assert OriginPolicy(allowed).refusal(scope(origin + b".evil.example", b"server.example", "wss")) is not None
    assert OriginPolicy(allowed).refusal(scope(b"https://server.example", b"server.example", "wss")) is None


@pytest.mark.parametrize("allowed", ["*", ["*"], ["https://a.example", "*"]])
def test_a_star_turns_the_check_off(allowed: str | list[str]) -> None:
    policy = OriginPolicy(allowed)
    assert policy.any
    for origin in (*UNPARSABLE, b"http://evil.example"):
        assert policy.refusal(scope(origin)) is None


@pytest.mark.parametrize(
    ("entry", "fix"),
    [
        ("example.com", "write 'https://example.com'"),
        ("localhost:3000", "write 'https://localhost:3000'"),
        ("https://example.com/", "write 'https://example.com'"),
        ("https://example.com/app?x#y", "write 'https://example.com'"),
        ("wss://example.com", "write 'https://example.com'"),
        ("ws://example.com:81", "write 'http://example.com:81'"),
        ("https://me@example.com", "write 'https://example.com'"),
        ("https://*.example.com", "list each origin in full"),
        ("*.example.com", "list each origin in full"),
        ("null", "sandboxed"),
        ("https://bücher.example", "xn--"),
        ("https://example.com:99999", "write scheme://host"),
        ("https://exa mple.com", "write scheme://host"),
        ("https://", "write scheme://host"),
        ("", "scheme is missing"),
        (b"https://example.com", "is a str"),
        (None, "is a str"),
    ],
)
def test_what_is_no_origin_fails_at_once_and_says_what_to_write(entry: object, fix: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        OriginPolicy([entry])  # type: ignore[list-item]
    assert fix in str(caught.value)
    assert "origins=" in str(caught.value)


def test_a_tls_proxy_that_is_not_trusted_is_named_as_the_likely_reason() -> None:
    reason = OriginPolicy().refusal(scope(b"https://example.com", b"example.com", "ws"))
    assert "--proxy-headers" in str(reason)
    assert "--proxy-headers" not in str(OriginPolicy().refusal(scope(b"https://evil.example", b"example.com", "ws")))


def test_a_reason_is_one_short_printable_line() -> None:
    for junk in (b"http://a\r\nINFO forged", b"\x1b[31m", b"http://" + b"a" * 5000, bytes(range(256)) * 20):
        for case in (scope(junk), scope(b"http://example.com", junk)):
            reason = OriginPolicy().refusal(case)
            assert reason is not None
            assert reason.isprintable()
            assert len(reason) < 600


@given(st.binary(max_size=200), st.binary(max_size=200), st.sampled_from(["ws", "wss"]))
def test_any_bytes_are_decided_without_an_error(origin: bytes, host: bytes, scheme: str) -> None:
    OriginPolicy("https://app.example.com").refusal(scope(origin, host, scheme))
    OriginPolicy("https://app.example.com").refusal(scope(b"http://" + host, host, scheme))


@given(
    st.sampled_from([b"http", b"https"]),
    st.from_regex(rb"[a-z0-9.-]{1,20}(:[0-9]{1,5})?", fullmatch=True),
    st.from_regex(rb"[a-z0-9.-]{1,20}(:[0-9]{1,5})?", fullmatch=True),
    st.sampled_from(["ws", "wss"]),
)
def test_allowed_means_equal_after_parsing(page: bytes, origin_host: bytes, host: bytes, scheme: str) -> None:
    def parsed(text: bytes, default: int) -> tuple[bytes, int]:
        name, _, port = text.partition(b":")
        return name, int(port) if port else default

    default = 80 if scheme == "ws" else 443
    own_page = b"http" if scheme == "ws" else b"https"
    same = page == own_page and parsed(origin_host, default) == parsed(host, default)
    valid = parsed(origin_host, default)[1] < 65536
    refusal = OriginPolicy().refusal(scope(page + b"://" + origin_host, host, scheme))
    assert (refusal is None) == (same and valid)


@pytest.mark.parametrize(
    "piece", [b",", b" ", b"a", b".", b":", b"[", b"@", b"://", b"http://a", b"-.", b"\xff", b"1"], ids=repr
)
def test_a_long_header_takes_no_longer_than_its_length_says(piece: bytes) -> None:
    """16 KiB is all that a handshake may have; a backtracking parser would take seconds over some of these."""
    junk = (piece * 16384)[:16384]
    begin = time.process_time()
    for each in (junk, b"http://" + junk, b"http://[" + junk, b"http://a:" + junk):
        OriginPolicy().refusal(scope(each, each))
        OriginPolicy().refusal(scope(b"http://example.com", each))
    assert time.process_time() - begin < 0.25


def hint(origin: str, host: str, *headers: tuple[bytes, bytes], client: Any = ("10.0.0.2", 1)) -> str:
    fields = [(b"host", host.encode()), (b"origin", origin.encode()), *headers]
    return str(OriginPolicy().refusal({"scheme": "ws", "headers": fields, "client": client}))


def test_the_hint_names_what_the_proxy_does() -> None:
    proto = b"x-forwarded-proto"
    assert "let the proxy set X-Forwarded-Proto," in hint("https://a.example", "a.example")
    assert "Forwarded alone" in hint("https://a.example", "a.example", (b"forwarded", b"proto=https"))
    assert "one value" in hint("https://a.example", "a.example", (proto, b"https,http"))
    assert "the address 10.0.0.2, which is not trusted" in hint("https://a.example", "a.example", (proto, b"https"))
    assert "a Unix socket" in hint("https://a.example", "a.example", (proto, b"https"), client=None)
    assert "$http_host" in hint("http://a.example:8080", "a.example")
    assert "drops the port" in hint("http://a.example:8080", "a.example")
    assert "ProxyPreserveHost" in hint("https://a.example", "127.0.0.1:8000")
    assert "ProxyPreserveHost" in hint("https://a.example", "backend")
    assert "origins=['https://evil.example']" in hint("https://evil.example", "a.example")
    assert "Host" not in hint("https://evil.example", "a.example")


def test_https_pages_that_only_origins_allows_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    policy = OriginPolicy(["https://a.example"])
    scope = {"scheme": "ws", "headers": [(b"host", b"a.example"), (b"origin", b"https://a.example")]}
    for _ in range(3):
        assert policy.refusal(scope) is None
    assert [record.getMessage().count("Secure") for record in caplog.records] == [1]
