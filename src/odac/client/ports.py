"""What the client's calls need from the rest of the client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from odac.protocol.message import Prepared

__all__ = ["MessageQueue", "OpenConnection"]


class MessageQueue(Protocol):
    """The client's queue of messages, as far as calls need it."""

    def read_for_answer(self) -> None:
        """A call waits for its answer: go on reading, although messages wait in the queue."""
        ...

    def in_turn(self, begin: Callable[[], None]) -> None:
        """Call a function after the messages that are in the queue now."""
        ...


class OpenConnection(Protocol):
    """The open connection, as far as calls need it."""

    @property
    def speaks_odac(self) -> bool:
        """Whether the server speaks odac.v1, and so understands control messages."""
        ...

    @property
    def facts(self) -> Mapping[str, object]:
        """The object in the hello."""
        ...

    def control(self, message: Prepared) -> bool:
        """Write a control message; False when the connection takes no more."""
        ...
