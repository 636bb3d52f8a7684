"""Gets a fresh token for every attempt from the server's token endpoint."""

from __future__ import annotations

import json
import logging
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from odac.client.address import Address
from odac.client.cookies import CookieJar
from odac.client.errors import HandshakeRefused, refused
from odac.client.fetch import Response, get

__all__ = ["Get", "Tokens"]

Get = Callable[[Address, str, Iterable[tuple[str, str]], ssl_module.SSLContext | None], Awaitable[Response]]

logger = logging.getLogger("odac.client")

_TOKEN_CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=.~")


class Tokens:
    """Requests tokens, and keeps the session cookie that they are bound to.

    Args:
        address: the WebSocket URL; the endpoint is on the same host and port.
        prefix: the app's ``prefix``, ``"/odac"`` by default, below its mount point.
        headers: further headers of the request.
        cookies: the jar shared with the handshake.
        ssl: the TLS context of a secure address.
        get: sends the HTTP request.
    """

    __slots__ = ("_address", "_cookies", "_get", "_headers", "_last", "_ssl", "_target", "spare", "use_spare")

    def __init__(
        self,
        address: Address,
        prefix: str,
        headers: Iterable[tuple[str, str]],
        cookies: CookieJar,
        ssl: ssl_module.SSLContext | None,
        get: Get = get,
    ) -> None:
        if not isinstance(prefix, str) or not prefix.startswith("/"):
            raise ValueError(f"prefix={prefix!r}: must begin with a slash, as the server's prefix= does")
        self._address = address
        self._target = f"{prefix.rstrip('/')}/token"
        self._headers = tuple(headers)
        self._cookies = cookies
        self._ssl = ssl
        self._get = get
        self._last = ""
        self.spare: str | None = None  # the last one that the server sent over a connection
        self.use_spare = False  # the server has just sent the spare one, so the next attempt uses it

    def keep(self, token: str) -> None:
        """Keep a token that the server sent, unless it has characters that a header cannot."""
        if token and _TOKEN_CHARACTERS.issuperset(token):
            self.spare = token

    async def fresh(self) -> str:
        """A token that no attempt has used.

        It is the one that the server sent over the last connection, once, if the endpoint returns none, or if the
        server has just sent it because it stops: that saves a request while all clients reconnect.

        Raises:
            OSError: the endpoint cannot be reached, and the server sent no token.
            HandshakeRefused: the endpoint answered with something other than a token, and the server sent none.
        """
        spare, self.spare = self.spare, None
        use_spare, self.use_spare = self.use_spare, False
        if use_spare and spare is not None:
            return spare
        try:
            return await self._fetch()
        except (OSError, HandshakeRefused):
            if spare is None:
                raise
            return spare

    async def _fetch(self) -> str:
        headers = list(self._headers)
        if (cookie := self._cookies.header(self._target)) is not None:
            headers.append(("Cookie", cookie))
        answer = await self._get(self._address, self._target, headers, self._ssl)
        if answer.status != 200:
            error = refused(answer.status, answer.body, answer.headers)
            raise HandshakeRefused(
                error.status,
                f"no token from {self._target}: {error.reason.rstrip('.')}; see prefix=, or token=False",
                error.headers,
            )
        self._cookies.store(answer.header("set-cookie"), self._target)
        try:
            token = json.loads(answer.body)["token"]
        except (ValueError, TypeError, LookupError):
            token = None
        # The answer is checked, because a subprotocol has only a token's characters (RFC 9110 section 5.6.2).
        if not isinstance(token, str) or not token or not _TOKEN_CHARACTERS.issuperset(token):
            raise HandshakeRefused(
                answer.status, f"{self._target} answered without a token; see prefix=, or token=False", answer.headers
            )
        if token == self._last:
            logger.warning(
                "%s: %s gave the same token twice: a cache in between stores its answers, despite their Cache-Control:"
                " no-store. Exclude this path there: other clients get this token too, and are refused with 4002",
                self._address,
                self._target,
            )
        self._last = token
        return token
