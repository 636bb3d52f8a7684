"""The address that a client connects to: the parts of a ``ws://`` URL."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

__all__ = ["Address"]


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a WebSocket URL.

    Args:
        secure: whether it is ``wss``.
        host: the host, an IPv6 address without brackets.
        port: the port, the scheme's own if the URL has none.
        target: path and query, as they are sent in the request line.
        authority: host and port, as they are sent in the ``Host`` header.
    """

    secure: bool
    host: str
    port: int
    target: str
    authority: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """Parse a URL.

        Raises:
            ValueError: it is not a ``ws://`` or ``wss://`` URL with a host, or has port 0, a user name or a fragment
                (RFC 6455 section 3).
        """
        wrong = f"{url!r} is not a WebSocket URL"
        if not isinstance(url, str):
            raise ValueError(f"{wrong}: it must be a str such as 'ws://host:port/path'")
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise ValueError(f"{wrong}: {error}") from None
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise ValueError(f"{wrong}: write ws://host:port/path, or wss:// for TLS")
        if "@" in parts.netloc or "#" in url:
            raise ValueError(
                f"{parts.scheme}://{parts.hostname}/…: a WebSocket URL has neither a user name nor a fragment; use"
                " headers= or cookies="
            )
        secure = parts.scheme == "wss"
        try:
            if parts.port == 0:
                raise ValueError("there is no port 0: leave it out for the scheme's own")
            port = parts.port or (443 if secure else 80)
            host = parts.hostname if ":" in parts.hostname else parts.hostname.encode("idna").decode()
        except ValueError as error:  # UnicodeError is one
            raise ValueError(f"{wrong}: {error}") from None
        bracketed = f"[{host}]" if ":" in host else host
        authority = bracketed if port == (443 if secure else 80) else f"{bracketed}:{port}"
        target = quote(parts.path or "/", safe="/:@!$&'()*+,;=~-._%") + (
            f"?{quote(parts.query, safe=_QUERY)}" if parts.query else ""
        )
        return cls(secure, host, port, target, authority)

    @property
    def path(self) -> str:
        """The path alone."""
        return self.target.partition("?")[0]

    @property
    def url(self) -> str:
        """The whole URL."""
        return f"{'wss' if self.secure else 'ws'}://{self.authority}{self.target}"

    def __str__(self) -> str:
        # The query may hold keys and tokens, which must not be logged.
        return f"{'wss' if self.secure else 'ws'}://{self.authority}{self.path}"


_QUERY = "/:@!$&'()*+,;=~-._%?[]"
