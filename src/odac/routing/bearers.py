"""Bearer tokens of browsers, which cannot set headers: sent as the first message over the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["BEARER_TIMEOUT", "Bearers"]

BEARER_TIMEOUT: Final = 5.0
"""Seconds to wait for the token that a client has offered to send."""


class Bearers:
    """The clients that have offered ``odac.auth`` and whose ``["auth", token]`` is awaited."""

    __slots__ = ("_awaited",)

    def __init__(self) -> None:
        self._awaited: dict[Connection, asyncio.Future[str | None]] = {}

    def expect(self, connection: Connection) -> None:
        """A client has offered to send a token."""
        self._awaited[connection] = connection.loop.create_future()

    def receive(self, connection: Connection, values: Sequence[Any]) -> None:
        """A control message ``auth`` has arrived; it is ignored unless a token is awaited."""
        awaited = self._awaited.get(connection)
        if awaited is not None and not awaited.done():
            token = values[0] if values else None
            awaited.set_result(token if isinstance(token, str) and token else None)

    async def token(self, connection: Connection) -> str | None:
        """Wait for the token; return None if it does not arrive in time."""
        try:
            async with asyncio.timeout(BEARER_TIMEOUT):
                return await self._awaited[connection]
        except TimeoutError:
            return None
        finally:
            del self._awaited[connection]
