"""A connection on its way through the gates behind its upgrade."""

from __future__ import annotations

import asyncio
from typing import Any

from odac.close_codes import CloseCode
from odac.notices import limit_met
from odac.protocol import control
from odac.realtime.audience import user_room
from odac.realtime.connection import Connection
from odac.realtime.deadlines import Deadlines
from odac.realtime.hub import Hub
from odac.realtime.taskless import in_task

__all__ = ["Admission"]


class Admission:
    """Becomes reachable for everybody, and as its user's, when it is through; must be through in time.

    Args:
        hub: gets the connection.
        connection: just accepted.
        deadlines: end those that take too long.
    """

    __slots__ = ("_admitted", "_connection", "_deadlines", "_hub", "_task", "_user_id", "late")

    def __init__(self, hub: Hub, connection: Connection, deadlines: Deadlines) -> None:
        self._hub = hub
        self._connection = connection
        self._deadlines: Deadlines | None = deadlines
        self._admitted = False
        self._user_id: object = None
        self._task: asyncio.Task[Any] | None = None  # once something of the application's is awaited
        self.late = False

    async def waits(self) -> None:
        """Await this before anything of the application's."""
        task = await in_task()
        if self._task is None and self._deadlines is not None:
            self._task = task
            self._deadlines.add(self)

    def is_through(self) -> None:
        """All gates have said what they say: from here on, nobody counts the time."""
        if self._task is not None and self._deadlines is not None:
            self._deadlines.discard(self)
        self._deadlines = self._task = None

    def expire(self) -> None:
        """The gates took too long."""
        limits = self._hub.limits
        limit_met(
            "handshake_timeout",
            "%s: the gates took longer than %g s and are cancelled (Limits.handshake_timeout)",
            self._connection.policy.name,
            limits.handshake_timeout,
        )
        self.late = True
        self._connection.end(CloseCode.TRY_AGAIN_LATER, "the server took too long to decide")
        if self._task is not None:
            self._task.cancel()

    def recognized(self, user_id: object) -> None:
        """Somebody asked who the user is, and this is the answer."""
        self._user_id = user_id
        if self._admitted:
            self._hub.enter(self._connection, user_room(str(user_id)))

    def admit(self) -> None:
        """All gates are passed."""
        connection = self._connection
        if connection.v1:
            # Both clients send what they have queued when they hear it: none of it may meet a gate that is closed.
            hello = {"id": connection.id, "ping": self._hub.limits.ping_interval, "version": 1}
            connection.put(control.encode_control("hello", hello))
        self._admitted = True
        self._hub.add(connection)
        if self._user_id is not None:
            self.recognized(self._user_id)
