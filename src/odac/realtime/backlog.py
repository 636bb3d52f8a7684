"""The messages that a slow reader has not received yet."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from odac.protocol.message import Prepared

__all__ = ["FLUSH_BYTES", "MESSAGE_COST", "Backlog", "cost"]

FLUSH_BYTES: Final = 64 * 1024
"""Bytes that one connection collects within a tick before they are written early: they fill the socket's buffer."""

MESSAGE_COST: Final = 256
"""Bytes of memory that one queued message takes besides its frame: 207 to 281 were measured with CPython 3.11."""


def cost(message: Prepared) -> int:
    """Bytes that a queued message counts for: its frame, and roughly the objects that hold it."""
    return len(message.frame) + MESSAGE_COST


class Backlog:
    """The messages queued for a slow reader. A connection has no backlog while the kernel accepts everything.

    Room messages and messages to this connection alone are kept in two queues; each message has a number that gives the
    order over both. So the oldest room message is always the first of its queue.

    Attributes:
        pending_close: code and reason of the close frame that follows the messages.
    """

    __slots__ = ("_next", "_own", "_room", "_waiters", "is_dropping", "pending_close", "size")

    def __init__(self) -> None:
        self._own: deque[tuple[int, Prepared]] = deque()
        self._room: deque[tuple[int, Prepared]] = deque()
        self._next = 0
        self._waiters: list[asyncio.Future[None]] = []
        self.is_dropping = False  # whether anything has been dropped since the reader fell behind
        self.pending_close: tuple[int, str] | None = None
        self.size = 0

    @property
    def is_empty(self) -> bool:
        """Whether no message is queued."""
        return not self._own and not self._room

    def append(self, message: Prepared, to_room: bool) -> None:
        """Append a message to the queue of the room messages or to that of this connection alone."""
        (self._room if to_room else self._own).append((self._next, message))
        self._next += 1
        self.size += cost(message)

    def take(self) -> list[Prepared]:
        """Take the oldest messages, as many as one write should carry."""
        own, room = self._own, self._room
        batch: list[Prepared] = []
        size = 0
        while size < FLUSH_BYTES and (own or room):
            queue = own if own and (not room or own[0] < room[0]) else room
            message = queue.popleft()[1]
            batch.append(message)
            size += len(message.frame)
        self.size -= size + MESSAGE_COST * len(batch)
        return batch

    def withdraw(self, message: Prepared) -> bool:
        """Remove one of this connection's own messages; return False if it is not queued."""
        for index, (_, queued) in enumerate(self._own):
            if queued is message:
                del self._own[index]
                self.size -= cost(message)
                return True
        return False

    def drop_oldest(self, excess: int) -> int:
        """Drop the oldest room messages until ``excess`` bytes are free; messages to this connection alone stay.

        Returns:
            the number of dropped messages.
        """
        room = self._room
        count = len(room)
        while excess > 0 and room:
            freed = cost(room.popleft()[1])
            excess -= freed
            self.size -= freed
        return count - len(room)

    def clear(self) -> None:
        """Drop every message."""
        self._own.clear()
        self._room.clear()
        self.size = 0

    def drained(self) -> asyncio.Future[None]:
        """A future that is done when the backlog is written, or the connection has ended."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def release(self) -> None:
        """Wake every task that waits for the reader."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
