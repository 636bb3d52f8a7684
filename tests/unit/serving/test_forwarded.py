from __future__ import annotations

from typing import Any

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from odac.serving.forwarded import BehindTls, ForwardedHeader, Hop, read_forwarded
from tests.unit.realtime.realtime_fakes import run


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=192.0.2.60;proto=https;by=203.0.113.43", [Hop("192.0.2.60", 0, "https")]),
        ('For="[2001:db8:cafe::17]:4711"', [Hop("2001:db8:cafe::17", 4711, "")]),
        ('for="192.0.2.43:47011", for=198.51.100.17', [Hop("192.0.2.43", 47011, ""), Hop("198.51.100.17", 0, "")]),
        ('for=_gazonk;PROTO="HTTP"', [Hop("_gazonk", 0, "http")]),
        ('for="_mdn:_port"', [Hop("_mdn", 0, "")]),
        ("for=unknown", [Hop("", 0, "")]),
        ("proto=gopher", [Hop("", 0, "")]),
        (r'for="192.0.2.4\3";host="a,b;c\"d"', [Hop("192.0.2.43", 0, "")]),
        (" for=1.1.1.1 ,, for=2.2.2.2,", [Hop("1.1.1.1", 0, ""), Hop("2.2.2.2", 0, "")]),
        ("", []),
    ],
)
def test_elements_are_read(value: str, expected: list[Hop]) -> None:
    assert read_forwarded([value.encode()]) == expected


def test_several_headers_are_one_list() -> None:
    assert [hop.host for hop in read_forwarded([b"for=1.1.1.1", b"for=2.2.2.2"])] == ["1.1.1.1", "2.2.2.2"]


@pytest.mark.parametrize(
    "value",
    [
        "for",
        "for=",
        "for=a b",
        'for="1.1.1.1',
        "for=2001:db8::1",
        'for="[2001:db8::1"',
        "for=1.1.1.1;for=2.2.2.2",
        "for=1.1.1.1; proto",
        'for=""',
        ",".join(["for=1.1.1.1"] * 51),
    ],
)
def test_a_malformed_one_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_forwarded([value.encode()])


def seen(kind: str, peer: str | None, *headers: tuple[bytes, bytes], trusted: str = "10.0.0.0/8") -> dict[str, Any]:
    """The scope that reaches an app behind the middleware."""
    scopes: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    proxies = ProxyHeadersMiddleware(app, trusted).trusted_hosts
    scope = {
        "type": kind,
        "scheme": "ws" if kind == "websocket" else "http",
        "client": (peer, 1) if peer else None,
        "headers": list(headers),
    }

    async def main() -> None:
        await ForwardedHeader(app, proxies)(scope, None, None)

    run(main())
    return scopes[0]


def test_a_trusted_proxy_sets_client_and_scheme() -> None:
    header = (b"forwarded", b"for=9.9.9.9;proto=https")
    scope = seen("websocket", "10.0.0.1", header)
    assert (scope["client"], scope["scheme"]) == (("9.9.9.9", 0), "wss")
    scope = seen("http", "10.0.0.1", header)
    assert (scope["client"], scope["scheme"]) == (("9.9.9.9", 0), "https")


def test_anybody_else_is_not_believed() -> None:
    scope = seen("http", "9.9.9.9", (b"forwarded", b"for=10.0.0.7;proto=https"))
    assert (scope["client"], scope["scheme"]) == (("9.9.9.9", 1), "http")


def test_what_the_client_claims_in_front_is_not_believed() -> None:
    scope = seen("http", "10.0.0.1", (b"forwarded", b"for=6.6.6.6;proto=https, for=9.9.9.9;proto=http"))
    assert (scope["client"], scope["scheme"]) == (("9.9.9.9", 0), "http")


def test_a_chain_of_trusted_proxies_is_followed_to_its_client() -> None:
    chain = b"for=6.6.6.6, for=9.9.9.9;proto=https, for=10.0.0.2;proto=http"
    scope = seen("http", "10.0.0.1", (b"forwarded", chain))
    assert (scope["client"], scope["scheme"]) == (("9.9.9.9", 0), "https")


def test_other_headers_are_the_clients_own_and_malformed_ones_change_nothing() -> None:
    claims = ((b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-proto", b"https"))
    for further in ((), ((b"forwarded", b"for=9.9.9.9;;;proto"),), ((b"forwarded", b"for=unknown"),)):
        scope = seen("http", "10.0.0.1", *claims, *further)
        assert (scope["client"], scope["scheme"]) == (("10.0.0.1", 1), "http")


def test_a_unix_socket_is_trusted_where_all_are() -> None:
    header = (b"forwarded", b"for=9.9.9.9")
    assert seen("http", None, header)["client"] is None
    assert seen("http", None, header, trusted="*")["client"] == ("9.9.9.9", 0)


@pytest.mark.parametrize(("kind", "scheme"), [("http", "https"), ("websocket", "wss"), ("lifespan", "-")])
def test_behind_tls_all_is_secure(kind: str, scheme: str) -> None:
    scope = {"type": kind, "scheme": "-", "client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", b"6.6.6.6")]}

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    run(BehindTls(app)(scope, None, None))
    assert (scope["scheme"], scope["client"]) == (scheme, ("10.0.0.1", 1))
