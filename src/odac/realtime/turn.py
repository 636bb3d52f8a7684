"""Entries of a connection's queue of messages that are not messages, such as calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["NO_MESSAGE", "Turn"]

NO_MESSAGE: Final = object()
"""The result of decoding an entry that listeners do not get: an invalid message, or a :class:`Turn`."""


class Turn:
    """An entry of the queue that runs an action once the messages before it were handled.

    Args:
        begin: the action; called with the bytes that the entry was queued with; must not raise.
    """

    __slots__ = ("_begin",)

    def __init__(self, begin: Callable[[bytes], None]) -> None:
        self._begin = begin

    def __call__(self, payload: bytes) -> object:
        """Begin the action: the queue calls this where it would decode a message."""
        self._begin(payload)
        return NO_MESSAGE
