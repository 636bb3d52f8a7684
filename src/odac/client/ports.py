"""What the client's calls need from the rest of the client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from odac.protocol.message import Prepared

__all__ = ["MessageQueue", "OpenConnection"]


class MessageQueue(Protocol):
    """What calls need from the message queue."""

    def read_for_answer(self) -> None:
        """A call waits for its answer: read on, beyond the messages in the queue."""
        ...

    def in_turn(self, begin: Callable[[], None]) -> None:
        """Call a function once the earlier messages have been taken."""
        ...


class OpenConnection(Protocol):
    """The open connection, as far as calls need it."""

    @property
    def speaks_odac(self) -> bool:
        """Whether control messages are understood."""
        ...

    @property
    def facts(self) -> Mapping[str, object]:
        """What the hello said."""
        ...

    def control(self, message: Prepared) -> bool:
        """Write a control message; False when the connection takes no more."""
        ...
