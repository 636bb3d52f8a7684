"""A client that does not take the answer to its HTTP request: the connection is cut."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio

    from odac.serving.protocols.reception import Reception

__all__ = ["RATE", "AnswerWatch"]

logger = logging.getLogger("odac.server")

RATE: Final = 500
"""Bytes per second that a client at least sends of a body that the server would take, or takes of an answer."""


class Answering(Protocol):
    """A connection that answers HTTP requests.

    Attributes:
        reception: of the server.
        transport: holds what the client has not taken yet.
        taken: how often the transport has made room for more of an answer since the last look.
    """

    reception: Reception
    transport: asyncio.Transport
    taken: int


class AnswerWatch:
    """An answer that the transport still holds, and how much of it: a client that takes nothing is cut off."""

    __slots__ = ("_connection", "_left", "is_watched")

    def __init__(self, connection: Answering) -> None:
        self._connection = connection
        self._left = 0
        self.is_watched = False

    def watch(self) -> None:
        """Begin, unless nothing is held or it is watched already."""
        self._left = self._connection.transport.get_write_buffer_size()
        if self._left and not self.is_watched:
            self.is_watched = True
            self._connection.reception.deadlines.add(self)

    def forget(self) -> None:
        """The connection is gone."""
        self._connection.reception.deadlines.discard(self)

    def expire(self) -> None:
        """Look how much the client has taken since the last look."""
        self.is_watched = False
        connection = self._connection
        seconds = connection.reception.limits.handshake_timeout
        left = connection.transport.get_write_buffer_size()
        if left and connection.taken == 0 and self._left - left < RATE * seconds:
            logger.debug(
                "a connection was closed: less than %d bytes of an answer were taken in %g s"
                " (Limits.handshake_timeout)",
                RATE * seconds,
                seconds,
            )
            connection.transport.abort()
        else:
            connection.taken = 0
            self.watch()
