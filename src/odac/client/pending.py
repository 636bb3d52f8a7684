"""Messages that wait for the connection: bounded, in order."""

from __future__ import annotations

from collections import deque
from typing import Final

from odac.protocol.message import Prepared

__all__ = ["MAX_BYTES", "MAX_MESSAGES", "Pending"]

MAX_MESSAGES: Final = 256
MAX_BYTES: Final = 1024 * 1024


class Pending:
    """What was sent while there was no connection. Past the bounds a message is refused, never an older one dropped."""

    __slots__ = ("_messages", "_size")

    def __init__(self) -> None:
        self._messages: deque[Prepared] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._size

    def push(self, message: Prepared) -> bool:
        """Take a message, or return False when it does not fit any more."""
        if len(self._messages) >= MAX_MESSAGES or self._size + len(message.payload) > MAX_BYTES:
            return False
        self._messages.append(message)
        self._size += len(message.payload)
        return True

    def first(self) -> Prepared:
        """The oldest message; it stays until :meth:`sent`."""
        return self._messages[0]

    def sent(self) -> None:
        """The oldest message is on its way: forget it."""
        self._size -= len(self._messages.popleft().payload)

    def clear(self) -> None:
        """Drop everything."""
        self._messages.clear()
        self._size = 0
