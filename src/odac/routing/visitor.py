"""A connection on its way through the gates behind its upgrade."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

from odac.close_codes import CloseCode
from odac.realtime.audience import user_room
from odac.realtime.connection import Connection
from odac.realtime.hub import Hub
from odac.wire import control

__all__ = ["Visitor"]

logger = logging.getLogger("odac")


class Visitor:
    """Becomes reachable for everybody, and as its user's, when it is through; must be through in time.

    Args:
        hub: gets the connection.
        connection: just accepted.
    """

    __slots__ = ("_admitted", "_connection", "_hub", "_task", "_user_id", "late")

    def __init__(self, hub: Hub, connection: Connection) -> None:
        self._hub = hub
        self._connection = connection
        self._admitted = False
        self._user_id: object = None
        self._task = cast("asyncio.Task[Any]", None)
        self.late = False

    def enters(self, task: asyncio.Task[Any] | None) -> None:
        """The gates begin, in this task."""
        self._task = cast("asyncio.Task[Any]", task)

    def expire(self) -> None:
        """The gates took too long."""
        limits = self._hub.limits
        logger.warning(
            "%s: the gates took longer than %g s and are cancelled (Limits.handshake_timeout)",
            self._connection.policy.name,
            limits.handshake_timeout,
        )
        self.late = True
        self._connection.end(CloseCode.TRY_AGAIN_LATER, "the server took too long to decide")
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
