"""The Origin check: which sites' pages may open a connection.

A browser lets any page open a WebSocket to any server, and sends the cookies; but a page cannot forge the ``Origin``
header (RFC 6454, WHATWG Fetch "Origin header"). So its scheme, host and port must equal those of the request, or those
of an allowed origin, compared as parsed values. A request without the header is not from a browser.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from odac.errors import ConfigurationError
from odac.notices import warn

__all__ = ["OriginPolicy"]

_Origin = tuple[bytes, bytes, int | None]
"""Scheme, host in lower case, port (None if it is missing and the scheme has no default)."""

_HOST: Final = rb"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?"
_parse_origin = re.compile(rb"([a-z][a-z0-9+.-]{0,30})://" + _HOST).fullmatch
_parse_host = re.compile(
    _HOST.replace(b"{1,5}))?", b"{1,5})?)?")
).fullmatch  # the port may be empty: RFC 3986 section 3.2.3
_PORTS: Final = {b"http": 80, b"https": 443}
_REPLACES_HOST: Final = (
    "; if a proxy is in front, it replaces the Host header: let it pass the client's on "
    "(nginx: proxy_set_header Host $http_host; Apache: ProxyPreserveHost On)"
)
_SCHEMES: Final = {"ws": b"http", "wss": b"https", "http": b"http", "https": b"https"}


class OriginPolicy:
    """Decides from a handshake's headers whether its origin may connect.

    Args:
        allowed: further origins besides the request's own host, such as ``"https://app.example.com"`` or, for pages in
            a native shell, ``"capacitor://localhost"``. ``"*"`` turns the check off.

    Raises:
        ConfigurationError: an entry is not an origin; the message names the fix.
    """

    __slots__ = ("_allowed", "_has_warned", "any")

    def __init__(self, allowed: Sequence[str] | str | None = None) -> None:
        if allowed is not None and not isinstance(allowed, Iterable):
            raise ConfigurationError(f"origins={allowed!r}: must be a list such as ['https://app.example.com']")
        entries = [allowed] if isinstance(allowed, str) else list(allowed or ())
        self.any = "*" in entries
        self._has_warned = False
        self._allowed = frozenset(_configured(entry) for entry in entries if entry != "*")

    def refusal(self, scope: Mapping[str, Any]) -> str | None:
        """None if the handshake may go on, else the reason, for the log and not for the client."""
        if self.any:
            return None
        origin: bytes | None = None
        host: bytes | None = None
        origins = hosts = 0
        for name, value in scope["headers"]:
            if name == b"origin":
                origin = value
                origins += 1
            elif name == b"host":
                host = value
                hosts += 1
        if origin is None:
            return None
        if origins > 1:
            return f"{origins} Origin headers: a browser sends one"
        match = _parse_origin(origin)
        if match is None:
            return _unparsable(origin)
        parsed = _parts(match[1], match[2], match[3])
        if parsed is None:
            return _unparsable(origin)
        scheme = _SCHEMES.get(scope.get("scheme", "ws"), b"")
        if hosts == 1 and host is not None and origin == scheme + b"://" + host:
            return None  # the usual case; the origin has parsed, so the host has no junk in it
        if parsed in self._allowed:
            self._warn_of_plain_http(scope, parsed, host)
            return None
        if hosts != 1 or host is None:
            return f"{hosts} Host headers: there must be one to compare Origin {_shown(origin)} with"
        match = _parse_host(host)
        own = match and _parts(scheme, match[1], match[2])
        if not own:
            return f"the Host header {_shown(host)} is not a host with an optional port"
        if parsed == own:
            return None
        return _foreign(origin, parsed, own, scope)

    def _warn_of_plain_http(self, scope: Mapping[str, Any], parsed: _Origin, host: bytes | None) -> None:
        """Warn once if a site's own https pages are allowed only by ``origins``: its cookie is not Secure then."""
        if self._has_warned or parsed[0] != b"https" or _SCHEMES.get(scope.get("scheme", "ws")) != b"http":
            return
        match = _parse_host(host or b"")
        if match is not None and match[1].lower() == parsed[1]:
            self._has_warned = True
            warn(
                "secure",
                "pages of %s are allowed by origins=, but this server treats their requests as plain http, so its"
                " session cookie is not Secure: let the proxy set X-Forwarded-Proto, and run with --proxy-headers",
                _text(*parsed),
            )

    def __repr__(self) -> str:
        return f"OriginPolicy({'*' if self.any else sorted(_text(*each) for each in self._allowed)!r})"


def _parts(scheme: bytes, host: bytes, port: bytes | None) -> _Origin | None:
    """The parsed form for comparison, or None for an invalid port or IPv6 address."""
    number = _PORTS.get(scheme) if port is None else int(port)
    if number is not None and number > 65_535:
        return None
    host = host.lower()
    if host[0] == 0x5B:  # "["
        try:
            host = b"[%s]" % ipaddress.IPv6Address(host[1:-1].decode("ascii")).compressed.encode("ascii")
        except ValueError:
            return None
    return scheme, host, number


def _configured(entry: object) -> _Origin:
    """Parse one configured origin; if it is wrong, the error shows the correct form."""
    if not isinstance(entry, str):
        raise ConfigurationError(f"origins={entry!r}: an origin is a str such as 'https://app.example.com'")
    if "*" in entry:
        raise ConfigurationError(
            f"origins={entry!r}: patterns are not supported; list each origin in full, or '*' to turn the check off"
        )
    if entry == "null":
        raise ConfigurationError(
            "origins='null': that is what any sandboxed page of any site sends; list real origins, or '*' to turn the "
            "check off"
        )
    if "://" not in entry:
        raise ConfigurationError(f"origins={entry!r}: the scheme is missing; write {'https://' + entry!r}")
    scheme, _, rest = entry.partition("://")
    if scheme.lower() in ("ws", "wss"):
        page = "https" if scheme.lower() == "wss" else "http"
        raise ConfigurationError(f"origins={entry!r}: an origin is the page's address; write {f'{page}://{rest}'!r}")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if authority != rest:
        raise ConfigurationError(f"origins={entry!r}: an origin has no path; write {f'{scheme}://{authority}'!r}")
    if "@" in rest:
        raise ConfigurationError(
            f"origins={entry!r}: an origin has no user; write {scheme + '://' + rest.rpartition('@')[2]!r}"
        )
    if not entry.isascii():
        raise ConfigurationError(f"origins={entry!r}: write the host as browsers send it, in its xn-- form")
    match = _parse_origin(f"{scheme.lower()}://{rest}".encode("ascii"))
    parsed = match and _parts(match[1], match[2], match[3])
    if not parsed:
        raise ConfigurationError(f"origins={entry!r}: write scheme://host or scheme://host:port")
    return parsed


def _unparsable(origin: bytes) -> str:
    if origin == b"null":
        return "Origin null: a sandboxed page or a file, which any site can make; only origins='*' lets it in"
    return f"the Origin header {_shown(origin)} is not scheme://host or scheme://host:port"


def _foreign(origin: bytes, parsed: _Origin, own: _Origin, scope: Mapping[str, Any]) -> str:
    """The reason why a well-formed origin is refused, with the setting to change."""
    reason = f"Origin {_shown(origin)} is not this server's own {_shown(_text(*own).encode())}"
    if parsed[1] == own[1]:
        if (parsed[0], own[0]) == (b"https", b"http"):
            reason += f"; behind a proxy that ends TLS, {_why_plain(scope)}"
        elif parsed[0] in _PORTS and parsed[2] != own[2] and own[2] in (80, 443):
            reason += "; if a proxy drops the port from Host, let it pass Host on as it came (nginx: $http_host)"
        elif _is_inside(own[1]):
            reason += _REPLACES_HOST
    elif _is_inside(own[1]):
        reason += _REPLACES_HOST
    return reason + f"; if pages from there may connect, add it: origins=[{_shown(origin)}]"


def _why_plain(scope: Mapping[str, Any]) -> str:
    """Why the request of an https page seems to be plain http: the missing part of the set-up of X-Forwarded-Proto."""
    named = [value.strip().lower() for name, value in scope["headers"] if name == b"x-forwarded-proto"]
    if not named:
        if any(name == b"forwarded" for name, _ in scope["headers"]):
            return "which sends Forwarded alone, run the server with --forwarded and $FORWARDED_ALLOW_IPS"
        return (
            "let the proxy set X-Forwarded-Proto, and run the server with --proxy-headers and $FORWARDED_ALLOW_IPS (or"
            " with --behind-tls, if the proxy cannot add headers)"
        )
    if len(named) > 1 or b"," in named[0]:
        return (
            f"X-Forwarded-Proto must be one value and is {_shown(b', '.join(named))}: let the nearest proxy set it to"
            " https"
        )
    client = scope.get("client")
    peer = f"the address {client[0]}" if client else "a Unix socket (use $FORWARDED_ALLOW_IPS=*)"
    return (
        f"run the server with --proxy-headers and $FORWARDED_ALLOW_IPS: X-Forwarded-Proto is {_shown(named[0])}, but"
        f" comes from {peer}, which is not trusted"
    )


def _is_inside(host: bytes) -> bool:
    """Whether a host name is an internal one, which a proxy uses for a server."""
    try:
        address = ipaddress.ip_address(host.strip(b"[]").decode("ascii"))
    except ValueError:
        return b"." not in host
    return address.is_private


def _text(scheme: bytes, host: bytes, port: int | None) -> str:
    tail = "" if port is None or port == _PORTS.get(scheme) else f":{port}"
    return f"{scheme.decode()}://{host.decode()}{tail}"


def _shown(value: bytes) -> str:
    """Bytes from the network in a form for one log line: no control characters, at most 100 characters."""
    return repr(value[:100].decode("ascii", "backslashreplace")) + ("…" if len(value) > 100 else "")
