"""A connection between its upgrade and its handler, while the gates (the route's checks) run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from odac.close_codes import CloseCode
from odac.notices import limit_met
from odac.protocol import control
from odac.realtime.audience import browser_room
from odac.realtime.connection import Connection
from odac.realtime.deadlines import Deadlines
from odac.realtime.hub import Hub
from odac.realtime.membership import join_inbox
from odac.realtime.taskless import in_task

__all__ = ["Admission"]


class Admission:
    """A connection between upgrade and admission.

    Once all gates pass, the connection receives broadcasts and joins its user's room. ``handshake_timeout`` bounds the
    time that asynchronous gates take.

    Args:
        hub: the connection is added to it on admission.
        connection: just accepted.
        deadlines: finds the deadlines that call :meth:`expire` after ``handshake_timeout``, once they are needed.
    """

    __slots__ = ("_admitted", "_connection", "_deadlines", "_hub", "_task", "_user_id", "late", "session_id")

    def __init__(self, hub: Hub, connection: Connection, deadlines: Callable[[], Deadlines]) -> None:
        self._hub = hub
        self._connection = connection
        self._deadlines: Callable[[], Deadlines] | None = deadlines  # None once all gates have decided
        self._admitted = False
        self._user_id: object = None
        self._task: asyncio.Task[Any] | None = None  # set once a gate awaits something
        self.late = False
        self.session_id: str | None = None  # the id of the handshake's session, if a client's name can be bound to it

    @property
    def user_id(self) -> str | None:
        """The user's id, if a gate has looked up the user."""
        return None if self._user_id is None else str(self._user_id)

    async def resume(self) -> None:
        """Wait for the ``resume`` of a client that has offered one."""
        if self._hub.history is not None:
            await in_task()
            await self._hub.history.resume(self._connection, self.session_id, self.user_id)

    async def start_deadline(self) -> None:
        """Start the deadline, at the first call; awaited before any of the application's own code is."""
        task = await in_task()
        if self._task is None and self._deadlines is not None:
            self._task = task
            self._deadlines().add(self)

    def is_through(self) -> None:
        """Cancel the deadline: all gates have decided."""
        if self._task is not None and self._deadlines is not None:
            self._deadlines().discard(self)
        self._deadlines = self._task = None

    def expire(self) -> None:
        """Close the connection with 1013 and cancel its gates: they took longer than ``handshake_timeout``."""
        limits = self._hub.limits
        limit_met(
            "handshake_timeout",
            "%s: the gates took longer than %g s and are cancelled (Limits.handshake_timeout)",
            self._connection.policy.path,
            limits.handshake_timeout,
        )
        self.late = True
        self._connection.begin_close(CloseCode.TRY_AGAIN_LATER, "the server took too long to decide")
        if self._task is not None:
            self._task.cancel()

    def recognized(self, user_id: object) -> None:
        """The user is known: the connection joins its user's room, at once or on admission."""
        self._user_id = user_id
        if self._admitted:
            join_inbox(self._connection, self._hub, str(user_id))

    def expires(self, when: float) -> None:
        """Close the connection with 1012 at this time, in seconds since 1970."""
        self._hub.expire(self._connection, when)

    def belongs_to(self, login: str) -> None:
        """The login is known: its end closes the connection."""
        self._hub.enter(self._connection, browser_room(login))

    def admit(self) -> None:
        """All gates have passed: make the connection reachable."""
        connection = self._connection
        if connection.speaks_odac:
            # Clients send their queued messages when they receive this, so it must not go out before every gate has
            # passed.
            hello: dict[str, object] = {"id": connection.id, "ping": self._hub.limits.ping_interval, "version": 1}
            if self._hub.history is not None:
                hello["client"] = self._hub.history.greet(connection, self.session_id, self.user_id)
            if connection.calls is not None and connection.calls.origin is not None:
                hello["calls"] = connection.calls.origin
            connection.put(control.encode_control("hello", hello))
        self._admitted = True
        self._hub.add(connection)
        if self._user_id is not None:
            self.recognized(self._user_id)
