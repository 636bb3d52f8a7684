"""Information about a client behind a proxy, for the ASGI scope: ``Forwarded`` (RFC 7239), or TLS that ends in front.

``X-Forwarded-For`` and ``X-Forwarded-Proto`` are handled by uvicorn. A server trusts only one of these ways: a proxy
replaces the header that it sets, and passes on the others as the client sent them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol

from odac.notices import warn

__all__ = ["BehindTls", "ForwardedHeader", "Hop", "Trusted", "read_forwarded"]

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PAIR: Final = re.compile(
    rb"[ \t]*(?:(" + _TOKEN + rb")=(?:(" + _TOKEN + rb')|"((?:[^"\\]|\\.)*)")[ \t]*)?(?:([;,])|\Z)'
)
_NODE: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([^\[\]:]{1,100}))(?::([0-9]{1,5}|_[A-Za-z0-9._-]{1,100}))?")
_MOST: Final = 50
"""The most elements of one request's header: more than there are proxies in a row."""


class Trusted(Protocol):
    """The addresses of the trusted proxies; uvicorn's list of them is one."""

    def __contains__(self, host: str | None, /) -> bool: ...


class Hop(NamedTuple):
    """One element of ``Forwarded``: one proxy's information about the sender of the request that it got.

    Args:
        host: the sender's address, or an identifier in its place; empty if not given.
        port: the sender's port; 0 if not given.
        scheme: ``http`` or ``https``; empty if not given.
    """

    host: str
    port: int
    scheme: str


def read_forwarded(values: Iterable[bytes]) -> list[Hop]:
    """Parse the ``Forwarded`` headers of a request (RFC 7239 section 4), the client's element first.

    Raises:
        ValueError: they are malformed; then none of them may be trusted.
    """
    hops = [_hop(element) for element in _elements(b",".join(values)) if element]
    if len(hops) > _MOST:
        raise ValueError(f"more than {_MOST} elements")
    return hops


def _elements(value: bytes) -> Iterator[dict[str, str]]:
    element: dict[str, str] = {}
    at = 0
    while True:
        found = _PAIR.match(value, at)
        if found is None:
            raise ValueError("not a list of name=value pairs")
        name, token, quoted, separator = found.groups()
        if name is not None:
            key = name.decode("ascii").lower()
            if key in element:
                raise ValueError(f"{key} twice in one element")
            element[key] = (token if token is not None else re.sub(rb"\\(.)", rb"\1", quoted)).decode("latin-1")
        at = found.end()
        if separator != b";":
            yield element
            element = {}
        if separator is None:
            return


def _hop(element: Mapping[str, str]) -> Hop:
    node = element.get("for", "unknown")
    found = _NODE.fullmatch(node)
    if found is None:
        raise ValueError(f"for={node!r}")
    host = found[1] or found[2]
    port = int(found[3]) if (found[3] or "").isdecimal() else 0
    scheme = element.get("proto", "").lower()
    return Hop("" if host.lower() == "unknown" else host, port, scheme if scheme in ("http", "https") else "")


class ForwardedHeader:
    """Takes the client and the scheme from the ``Forwarded`` header of trusted proxies.

    The connected proxy added the last element. If that element names a trusted proxy too, the element before it is
    used, and so on; the first one that names another address gives the client.

    Args:
        app: any ASGI app.
        trusted_hosts: the trusted proxies.
    """

    def __init__(self, app: Any, trusted_hosts: Trusted) -> None:
        self.app = app
        self.trusted_hosts = trusted_hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection or request (ASGI)."""
        if scope["type"] != "lifespan":
            client = scope.get("client")
            if (client[0] if client else None) in self.trusted_hosts:
                self._apply(scope)
        await self.app(scope, receive, send)

    def _apply(self, scope: Any) -> None:
        values = [value for name, value in scope["headers"] if name == b"forwarded"]
        try:
            hops = read_forwarded(values)
        except ValueError as error:
            warn("forwarded", "the Forwarded header of a trusted proxy is malformed (%s) and ignored", str(error))
            return
        if not hops:
            return
        hop = hops[-1]
        for hop in reversed(hops):
            if hop.host not in self.trusted_hosts:
                break
        if hop.host:
            scope["client"] = (hop.host, hop.port)
        if hop.scheme:
            scope["scheme"] = hop.scheme.replace("http", "ws") if scope["type"] == "websocket" else hop.scheme


class BehindTls:
    """Marks every request as received over TLS, for a program in front that ends TLS and adds no headers.

    Args:
        app: any ASGI app.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection or request (ASGI)."""
        if scope["type"] != "lifespan":
            scope["scheme"] = "wss" if scope["type"] == "websocket" else "https"
        await self.app(scope, receive, send)
