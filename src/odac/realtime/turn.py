"""What stands in a connection's queue of messages without being a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["NO_MESSAGE", "Turn"]

NO_MESSAGE: Final = object()
"""What decoding gives where there is nothing for the listeners: an invalid message, or a :class:`Turn`."""


class Turn:
    """Stands in the queue for something that is to happen when the messages before it were taken.

    Args:
        begin: gets the bytes that it was put in the queue with; must not raise.
    """

    __slots__ = ("_begin",)

    def __init__(self, begin: Callable[[bytes], None]) -> None:
        self._begin = begin

    def __call__(self, payload: bytes) -> object:
        """Do it: the queue calls this where it would decode a message."""
        self._begin(payload)
        return NO_MESSAGE
