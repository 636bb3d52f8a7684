"""The calls of one app, by its clients and by the server: handles the control messages of its connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from os import urandom
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import msgspec

from odac.calls.answering import Answering
from odac.calls.client_call import AnswerFunction, Call
from odac.calls.messages import read_answer, read_id, read_request, refusal
from odac.calls.remembered import Remembered
from odac.calls.server_calls import ServerCalls
from odac.errors import CallError
from odac.realtime.identity import new_id
from odac.realtime.phase import ADMITTED

if TYPE_CHECKING:
    from odac.realtime.connection import Connection
    from odac.realtime.hub import Hub

__all__ = ["Calls", "ConnectionCalls"]

BUSY_READING: Final = "too many messages wait for the handler that waits for this answer"


class ConnectionCalls:
    """The calls of one connection, in both directions.

    Args:
        connection: the connection that they are sent over.
        since: when the hello was sent, by the loop's clock; None if this was made after it.

    Attributes:
        asking: the calls of this side.
        answering: the client's calls; None on a route that answers none.
        origin: ``calls`` in the hello, by which a call that is sent again names the connection that it was first sent
            over; None on a route that answers none.
    """

    __slots__ = ("answering", "asking", "origin")

    def __init__(self, connection: Connection, since: float | None = None) -> None:
        self.asking = ServerCalls(connection, since)
        self.answering: Answering | None = None
        self.origin: str | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether a call of this side has no answer yet."""
        return self.asking.is_waiting

    async def call(self, name: str, arguments: object, timeout: float, returns: Any) -> Any:  # noqa: ASYNC109
        """Ask the client: see :meth:`odac.Connection.call`."""
        return await self.asking.call(name, arguments, timeout, returns)

    def overrun(self) -> None:
        """So many messages are queued that reading has paused, and the answers after them are not read."""
        self.asking.fail_all("busy", BUSY_READING)


class Calls:
    """The calls of one app.

    Args:
        hub: the app's hub, which passes on the control messages of calls from now on.
    """

    def __init__(self, hub: Hub) -> None:
        limits = hub.limits
        self._process: str | None = None  # made at the first use, so that forked processes have different ones
        self._key: Final = urandom(16)
        self._remembered = Remembered(
            monotonic, limits.remembered_time, limits.remembered_calls, limits.remembered_bytes
        )
        hub.calls_of = ConnectionCalls
        hub.observers.append(self)
        hub.control_handlers |= {
            "call": self._call,
            "cancel": self._cancel,
            "reply": lambda connection, values: self._answer(connection, "reply", values),
            "fail": lambda connection, values: self._answer(connection, "fail", values),
        }

    def prepare(
        self,
        connection: Connection,
        answers: Mapping[str, AnswerFunction],
        context_of: Callable[[Call], Any],
        session_id: str | None,
        user_id: str | None,
    ) -> None:
        """Answer the calls of a connection.

        Args:
            connection: has passed all gates, and its hello follows.
            answers: the route's functions, by the name of the call.
            context_of: makes the context of one call.
            session_id: of the client; a call that is sent again in another session is another call.
            user_id: the same for the user; None if no gate has looked up the user.
        """
        if self._process is None:
            self._process = new_id()
        since = connection.loop.time()
        calls = ConnectionCalls(connection, since)
        identity = msgspec.json.encode((session_id, user_id))
        fingerprint = blake2b(identity, digest_size=8, key=self._key).hexdigest()
        calls.origin = f"{self._process}.{new_id()}.{fingerprint}"
        calls.answering = Answering(connection, answers, context_of, self._remembered, calls.origin, since)
        connection.calls = calls

    # Control messages of the peer

    def _call(self, connection: Connection, values: list[Any]) -> None:
        request = read_request(values)
        if request is None or not connection.flags & ADMITTED:
            return
        calls = connection.calls
        if isinstance(calls, ConnectionCalls) and calls.answering is not None:
            calls.answering.receive(request)
        else:
            connection.put(refusal(request.id, CallError("unknown", "this route answers no calls")))

    def _cancel(self, connection: Connection, values: list[Any]) -> None:
        number = read_id(values[0]) if values else None
        calls = connection.calls
        if number is not None and isinstance(calls, ConnectionCalls) and calls.answering is not None:
            calls.answering.cancel(number)

    def _answer(self, connection: Connection, kind: str, values: list[Any]) -> None:
        answer = read_answer(kind, values)
        if answer is not None and isinstance(connection.calls, ConnectionCalls):
            connection.calls.asking.answered(*answer)

    # The end of a connection

    def ended(self, connection: Connection, code: int, reason: str) -> None:
        """See :class:`odac.realtime.ports.Observer`."""
        calls = connection.calls
        if isinstance(calls, ConnectionCalls):
            connection.calls = None
            calls.asking.ended(code, reason)
            if calls.answering is not None:
                calls.answering.ended()
