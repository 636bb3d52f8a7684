"""The bounded queue of messages that are sent while there is no connection."""

from __future__ import annotations

from collections import deque
from typing import Final

from odac.protocol.message import Prepared

__all__ = ["MAX_BYTES", "MAX_MESSAGES", "Pending"]

MAX_MESSAGES: Final = 256
MAX_BYTES: Final = 1024 * 1024


class Pending:
    """Messages that wait for a connection, in order. When it is full, a new message is refused; none is dropped."""

    __slots__ = ("_messages", "_size")

    def __init__(self) -> None:
        self._messages: deque[Prepared] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def size(self) -> int:
        """The bytes of the payloads that wait."""
        return self._size

    def push(self, message: Prepared) -> bool:
        """Add a message; return False if it does not fit."""
        if len(self._messages) >= MAX_MESSAGES or self._size + len(message.payload) > MAX_BYTES:
            return False
        self._messages.append(message)
        self._size += len(message.payload)
        return True

    def first(self) -> Prepared:
        """The oldest message; it stays until :meth:`sent`."""
        return self._messages[0]

    def sent(self) -> None:
        """Remove the oldest message, which is written."""
        self._size -= len(self._messages.popleft().payload)

    def clear(self) -> None:
        """Drop everything."""
        self._messages.clear()
        self._size = 0
