"""Replacements for a connection and its lane, used once the connection is released.

A connection and its inbox, outbox and lane refer to each other, so that an ended one would stay until Python's garbage
collector finds it, in a pause that grows with the number of connections. So the parts of a released connection refer
to these instead, which refer to no connection: when the application drops its last reference, all of it is freed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from odac.protocol.message import Prepared
from odac.realtime.events import Events
from odac.realtime.phase import Phase
from odac.realtime.sent import SENT, Sent

if TYPE_CHECKING:
    from odac.realtime.internal_ports import Entry, EventsOwner
    from odac.realtime.listeners import Registered
    from odac.realtime.policy import Policy

__all__ = ["NO_LANE", "Released"]


class _NoLane:
    """Implements :class:`odac.realtime.ports.Lane`: the transport is gone."""

    fd = -1
    pings = False
    buffered = 0

    def write(self, messages: list[Prepared]) -> None:
        """Do nothing."""

    def write_rest(self, data: memoryview) -> None:
        """Do nothing."""

    def close(self, code: int, reason: str) -> None:
        """Do nothing."""

    def expect_end(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""

    def cut(self, code: int, reason: str) -> None:
        """Do nothing."""

    def limit_messages(self, size: int) -> None:
        """Do nothing."""

    def pause_reading(self) -> None:
        """Do nothing."""

    def resume_reading(self) -> None:
        """Do nothing."""


NO_LANE: Final = _NoLane()


class Released:
    """Implements the attributes of a connection that its inbox and outbox use, for a released one.

    Messages that arrived before the end can still be received; after them, waiting raises :class:`odac.Disconnected`.

    Args:
        policy: of the connection.
        loop: its event loop.
        ended: code and reason of its end.
    """

    __slots__ = ("ended", "fd", "flags", "loop", "policy")

    phase: Phase = Phase.RELEASED
    speaks_odac = False
    has_tasks: Final = False
    listeners: Registered = ()
    lane: Final = NO_LANE
    calls: Final = None

    def __init__(self, policy: Policy, loop: asyncio.AbstractEventLoop, ended: tuple[int, str] | None) -> None:
        self.policy = policy
        self.loop = loop
        self.ended = ended
        self.fd = -1
        self.flags = 0  # the inbox sets them

    @property
    def events(self) -> Events:
        """Logs the errors of decoders. There are no listeners, so it uses no attribute that is missing here."""
        return Events(cast("EventsOwner", self))

    def run(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function, in the context of the caller."""
        function(*arguments)

    def is_in(self, entry: Entry) -> bool:
        """Whether a room message is for this connection: it is in no room."""
        return False

    def unreceived(self) -> None:
        """Do nothing."""

    def put(self, message: Prepared) -> Sent:
        """Do nothing."""
        return SENT

    def begin_close(self, code: int, reason: str) -> bool:
        """Do nothing."""
        return False
