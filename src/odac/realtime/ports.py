"""What the realtime core needs of the parts around it, as small protocols that those parts fulfil."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from odac.protocol.message import Prepared
from odac.realtime.audience import Audience

__all__ = ["Bus", "Count", "LocalHub"]


class Count(NamedTuple):
    """How many connections, and how many processes said so.

    Args:
        total: connections, over all processes that answered.
        answered: processes that answered in time, this one included.
        expected: processes known to be there, this one included; more than ``answered`` where one did not answer.
    """

    total: int
    answered: int
    expected: int


class Bus(Protocol):
    """The way to the other processes. Every method but :meth:`count` returns at once and never raises for a lost broker."""

    @property
    def healthy(self) -> bool:
        """Whether messages reach the other processes, as far as this one knows."""
        ...

    def publish(self, audience: Audience, message: Prepared) -> None:
        """Hand a message to the other processes (never back to this one)."""
        ...

    def close(self, audience: Audience, code: int, reason: str) -> None:
        """Have the other processes close their connections of this audience."""
        ...

    async def count(self, audience: Audience, timeout: float) -> Count:  # noqa: ASYNC109 - who asks says how long
        """Ask all processes, this one included, how many connections the audience has; wait ``timeout`` seconds at most."""
        ...

    def room_opened(self, room: str) -> None:
        """This process has its first member of ``room``."""
        ...

    def room_closed(self, room: str) -> None:
        """The last member of ``room`` in this process has left."""
        ...


class LocalHub(Protocol):
    """What a bus asks of this process, always on the event loop's thread."""

    def deliver(self, audience: Audience, message: Prepared) -> None:
        """Deliver to this process's connections of the audience, and to nobody else."""
        ...

    def close_local(self, audience: Audience, code: int, reason: str) -> None:
        """Close this process's connections of the audience."""
        ...

    def count_local(self, audience: Audience) -> int:
        """How many of this process's connections are in the audience."""
        ...
