"""Log lines for requests that a proxy has altered; a browser only shows that the connection failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["doubled_root_path", "altered_handshake"]

_SETTINGS: Final = (
    "nginx: proxy_http_version 1.1 and proxy_set_header Upgrade and Connection; Apache: ProxyPass … upgrade=websocket; "
    'lighttpd: proxy.header = ("upgrade" => "enable"); Varnish: return (pipe) with both headers copied'
)


def altered_handshake(scope: Mapping[str, Any]) -> str | None:
    """Why an ordinary HTTP request to a WebSocket route seems to be a handshake that a proxy has altered.

    Args:
        scope: of the HTTP request.

    Returns:
        what is missing and what to set; None if the request is no handshake (RFC 6455 section 4.1).
    """
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if b"sec-websocket-key" not in headers:
        return None
    if scope.get("http_version") == "1.0":
        return (
            "a handshake came over HTTP/1.0, which has no Upgrade: let the proxy speak HTTP/1.1 to this server "
            "(nginx: proxy_http_version 1.1)"
        )
    missing = [
        name
        for name, token in ((b"upgrade", b"websocket"), (b"connection", b"upgrade"))
        if token not in [element.strip().lower() for element in headers.get(name, b"").split(b",")]
    ]
    if not missing:
        return None
    names = " and ".join(name.decode().title() for name in missing)
    return f"a handshake came without {names}: a proxy in between must pass both headers on ({_SETTINGS})"


def doubled_root_path(scope: Mapping[str, Any]) -> str | None:
    """Why a path with the root path twice gets 404: the server adds it, and the proxy did not remove it."""
    root: str = scope.get("root_path") or ""
    if root and scope["path"].startswith(f"{root}{root}/"):
        return (
            f"the path has {root!r} twice: the proxy does not remove it, so --root-path adds it a second time."
            " Let the proxy strip it (nginx: a slash at the end of proxy_pass), or leave --root-path out and mount"
            " the app there"
        )
    return None
