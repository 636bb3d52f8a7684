"""What belongs to a connection, and how much longer than itself it may go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import ref

from odac.notices import limit_met, warn
from odac.realtime.cancellation import OVERDUE, RAISED, is_own
from odac.realtime.inbox import Inbox
from odac.realtime.outbox import NO_ROOMS, Lane, Outbox, is_to_be_awaited
from odac.realtime.ownership import Owned
from odac.realtime.taskless import in_task

if TYPE_CHECKING:
    from odac.realtime.connection import Connection
    from odac.realtime.hub import Hub
    from odac.realtime.policy import Policy

__all__ = ["Lifetime"]

_DATA: Final = (dict, list, str, bytes)
"""What a handler returns only where its author takes it for a view."""


class Lifetime(Outbox):
    """The handler, timers and tasks of one connection, which end with it or soon after."""

    __slots__ = ("_ended", "_handler", "_hub", "_owned", "inbox")

    def __init__(self, hub: Hub, lane: Lane, policy: Policy, v1: bool) -> None:
        super().__init__(hub.delivery, lane, policy, v1)
        self.inbox = Inbox(cast("Connection", self))
        self._hub = hub
        self._owned: Owned | None = None
        self._handler: asyncio.Task[Any] | None = None
        self._ended: tuple[int, str] | None = None

    @property
    def owned(self) -> Owned:
        """Timers and tasks of this connection."""
        if self._owned is None:
            self._owned = Owned(self.delivery.loop, self.inbox.failed, self.inbox.reconsider)
            if self._ended is not None:
                self._owned.cancel()
        return self._owned

    @property
    def has_tasks(self) -> bool:
        """Whether a task of this connection runs that may take messages yet."""
        return self._owned is not None and self._owned.has_tasks

    def own(self, coroutine: Coroutine[Any, Any, object]) -> asyncio.Task[Any]:
        """Run a coroutine as a task that is cancelled when the connection ends."""
        return self.owned.create_task(coroutine)

    def own_to_the_end(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine of the connection's end itself; it is not cancelled by it."""
        task = self.delivery.loop.create_task(coroutine)
        self._hub.keep(task)
        return task

    def cut_short(self, task: asyncio.Task[Any], what: str) -> None:
        """Let a task go on for ``Limits.close_timeout`` after the connection's end, and cancel it then.

        Args:
            task: of the application.
            what: for the log line.
        """
        limits, name = self.policy.limits, self.policy.name
        waiting = ref(task)

        def cancel() -> None:
            task = waiting()
            if task is not None and not task.done():
                limit_met(
                    "close_timeout",
                    "%s: %s went on for %g s after its connection had ended and is cancelled (Limits.close_timeout); start what must go on with asyncio",
                    name,
                    what,
                    limits.close_timeout,
                )
                task.cancel(OVERDUE)

        self.delivery.loop.call_later(limits.close_timeout, cancel)

    async def run_handler(self, handler: Callable[[], Any]) -> None:
        """Run the route's handler. It outlives the connection by ``Limits.close_timeout`` at most."""
        try:
            result = handler()
            if is_to_be_awaited(result):
                self._handler = await in_task()
                result = await result
            if isinstance(result, _DATA):
                warn(
                    "returned",
                    "%s: its handler returned a %s, and what a handler returns is not sent: use odac.ws.send(…)",
                    self.policy.name,
                    type(result).__name__,
                )
        except RAISED as error:
            if not is_own(error):
                self.inbox.handler_failed(error)
            elif error.args == (OVERDUE,) and self._handler is not None:
                self._handler.uncancel()  # it was for the handler, and not for the server's task that it runs in
            else:
                raise
        finally:
            self._handler = None
            self.inbox.handler_returned()

    def released(self) -> bool:
        """The close listeners have run: timers and tasks end, and the rooms are forgotten.

        Returns:
            Whether the handler is through as well.
        """
        if self._owned is not None:
            self._owned.cancel()
        self.memberships = NO_ROOMS
        if self._handler is None:
            return True
        self.cut_short(self._handler, "a handler")
        return False
