"""Chooses the forward proxy of a connection: the one of ``proxy=``, or the environment's."""

from __future__ import annotations

import urllib.request
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from odac.client.address import Address

__all__ = ["Proxy", "chosen_proxy"]

_ALLOWED: Final = (
    "proxy=, or the environment's, must be http://host:port or https://host:port, with user:password@ where it is"
    " needed"
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that opens tunnels by CONNECT (RFC 9110 section 9.3.6).

    Args:
        secure: whether the connection to the proxy itself uses TLS.
        host: of the proxy.
        port: of the proxy.
        url: as given, with user name and password.
    """

    secure: bool
    host: str
    port: int
    url: str = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """Parse the URL of a proxy.

        Raises:
            ValueError: it is not an ``http://`` or ``https://`` URL of a host, or has a user name without a password.
        """
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            host, port = parts.hostname, parts.port
        except (ValueError, TypeError):  # a port out of range, or not a str
            raise ValueError(_ALLOWED) from None
        if parts.scheme not in ("http", "https") or not host or port == 0 or parts.path not in ("", "/"):
            raise ValueError(_ALLOWED)
        if parts.username is not None and parts.password is None:
            raise ValueError("proxy= has a user name without a password: write user:@host if it is empty")
        secure = parts.scheme == "https"
        return cls(secure, host, port or (443 if secure else 80), parts.geturl())

    @property
    def authorization(self) -> str | None:
        """The value of ``Proxy-Authorization``, where the URL has a user name (RFC 7617)."""
        parts = urlsplit(self.url)
        if parts.username is None:
            return None
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return "Basic " + b64encode(pair.encode()).decode()

    def __str__(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.host}:{self.port}"


def chosen_proxy(address: Address, proxy: str | bool | None) -> Proxy | None:
    """The proxy for a connection to an address, or None for a direct connection.

    Args:
        address: of the server.
        proxy: a URL, True for the environment's, None or False for none.

    Raises:
        ValueError: the URL is not that of an HTTP proxy.
    """
    if proxy is None or proxy is False:
        return None
    if proxy is not True:
        return Proxy.parse(proxy)
    if urllib.request.proxy_bypass(f"{address.host}:{address.port}"):
        return None
    known = urllib.request.getproxies()
    for scheme in ("wss", "https") if address.secure else ("ws", "http"):
        found = known.get(scheme, "")
        if found and not found.startswith("socks"):
            return Proxy.parse(found)
    return None
