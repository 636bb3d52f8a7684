"""Messages of one connection that the application has not received yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import ref

from odac.realtime.turn import Turn

if TYPE_CHECKING:
    from odac.realtime.policy import Policy

__all__ = ["MessageQueue", "Waiting"]

Waiting = tuple[bytes, "Callable[[bytes], object] | None"]
"""A message that is not decoded yet, with the function that decodes it when its turn comes; None for a binary one."""


class MessageQueue:
    """The queue of one connection, created when the first message cannot be passed on at once.

    Attributes:
        is_paused: whether the lane has stopped reading.
        waiter: the future that ``receive()`` awaits.
        reader: the task that calls ``receive()``.
    """

    __slots__ = ("_messages", "_size", "is_paused", "reader", "waiter")

    def __init__(self) -> None:
        self._messages: deque[Waiting] = deque()
        self._size = 0
        self.is_paused = False
        self.waiter: asyncio.Future[None] | None = None
        self.reader: ref[asyncio.Task[Any]] | None = None

    def __len__(self) -> int:
        return len(self._messages)

    def append(self, message: Waiting) -> None:
        """Add a message, and wake ``receive()``."""
        self._messages.append(message)
        self._size += len(message[0])
        self.wake()

    def take(self) -> Waiting:
        """Take the oldest message."""
        message = self._messages.popleft()
        self._size -= len(message[0])
        return message

    def wake(self) -> None:
        """Wake ``receive()``, which checks the queue again."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def is_full(self, policy: Policy, times: int = 1) -> bool:
        """Whether the lane must stop reading, with the limits multiplied by ``times``."""
        limits = policy.limits
        return len(self._messages) >= times * limits.incoming_queue or self._size >= times * policy.incoming_bytes

    def withdraw(self, turn: Turn) -> bool:
        """Remove a turn from the queue; return False if it is not queued."""
        for index, (payload, begin) in enumerate(self._messages):
            if begin is turn:
                del self._messages[index]
                self._size -= len(payload)
                return True
        return False

    def take_turns(self, all_of_them: bool) -> list[Waiting]:
        """Take the turns (see :class:`Turn`) before the first message, or all turns."""
        turns = []
        kept: deque[Waiting] = deque()
        for entry in self._messages:
            if isinstance(entry[1], Turn) and (all_of_them or not kept):
                turns.append(entry)
                self._size -= len(entry[0])
            else:
                kept.append(entry)
        self._messages = kept
        return turns

    def is_half_empty(self, policy: Policy) -> bool:
        """Whether the lane may read again."""
        return len(self._messages) <= policy.limits.incoming_queue // 2 and self._size <= policy.incoming_bytes // 2
