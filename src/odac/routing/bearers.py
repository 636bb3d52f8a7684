"""Bearer tokens of browsers, which cannot set headers: sent as the first message over the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from odac.realtime.offered_messages import TOKEN, OfferedMessages

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["BEARER_TIMEOUT", "receive_bearer"]

BEARER_TIMEOUT: Final = 5.0
"""Seconds to wait for the token that a client has offered to send."""


async def receive_bearer(offered: OfferedMessages, connection: Connection) -> str | None:
    """Wait for the token of a client that has offered ``odac.auth``; return None if none arrives in time."""
    values = await offered.receive(connection, TOKEN, BEARER_TIMEOUT)
    token = values[0] if values else None
    return token if isinstance(token, str) and token else None
