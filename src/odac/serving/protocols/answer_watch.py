"""Cuts connections whose client does not read the answer to its HTTP request."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio

    from odac.serving.protocols.reception import Reception

__all__ = ["RATE", "AnswerWatch"]

logger = logging.getLogger("odac.server")

RATE: Final = 500
"""The least bytes per second that a client must send of a body that the server reads, or read of an answer."""


class AnsweringConnection(Protocol):
    """A connection that answers HTTP requests.

    Attributes:
        reception: the server's.
        transport: buffers what the client has not read yet.
        taken: how often the transport has made room for more of an answer since the last check.
    """

    reception: Reception
    transport: asyncio.Transport
    taken: int


class AnswerWatch:
    """Watches an answer that is still in the transport's buffer: a client that reads nothing is cut off."""

    __slots__ = ("_connection", "_left", "is_watched")

    def __init__(self, connection: AnsweringConnection) -> None:
        self._connection = connection
        self._left = 0
        self.is_watched = False

    def watch(self) -> None:
        """Start, unless the transport's buffer is empty or this answer is being watched already."""
        self._left = self._connection.transport.get_write_buffer_size()
        if self._left and not self.is_watched:
            self.is_watched = True
            self._connection.reception.deadlines.add(self)

    def forget(self) -> None:
        """The connection is gone."""
        self._connection.reception.deadlines.discard(self)

    def expire(self) -> None:
        """Check how much the client has read since the last check."""
        self.is_watched = False
        connection = self._connection
        seconds = connection.reception.limits.handshake_timeout
        left = connection.transport.get_write_buffer_size()
        if left and connection.taken == 0 and self._left - left < RATE * seconds:
            logger.debug(
                "a connection was closed: the client read less than %d bytes of an answer in %g s"
                " (Limits.handshake_timeout)",
                RATE * seconds,
                seconds,
            )
            connection.transport.abort()
        else:
            connection.taken = 0
            self.watch()
