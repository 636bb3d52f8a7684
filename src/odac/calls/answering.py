"""Answers calls by a client: each by a function of the route, concurrently with the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from odac.calls.client_call import AnswerFunction, Call
from odac.calls.messages import Request, refusal
from odac.calls.remembered import MARGIN
from odac.errors import CallError
from odac.notices import limit_met
from odac.protocol.codec import decode_json, encode_json
from odac.protocol.message import Verbatim
from odac.realtime.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odac.calls.remembered import Remembered
    from odac.realtime.connection import Connection

__all__ = ["Answering"]


class Answering:
    """Answers the calls of one connection.

    Args:
        connection: the connection over which they arrive.
        answers: the route's functions, by the name of the call.
        context_of: creates the context of one call.
        remembered: the outcomes of calls with ``retry`` that this process has stored.
        client: ``calls`` in the ``hello``: the process, a random number, and a fingerprint of the session and user.
        since: when the hello was sent, by the loop's clock.
    """

    __slots__ = (
        "_calls",
        "_connection",
        "_make_context",
        "_since",
        "answers",
        "client",
        "remembered",
    )

    def __init__(
        self,
        connection: Connection,
        answers: Mapping[str, AnswerFunction],
        context_of: Callable[[Call], Any],
        remembered: Remembered,
        client: str,
        since: float,
    ) -> None:
        self._connection = connection
        self._calls: dict[int, Call] = {}
        self._since = since
        self.answers = answers
        self.client = client
        self._make_context = context_of
        self.remembered = remembered

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        return self._connection.loop

    @property
    def path(self) -> str:
        """The route's, for log lines."""
        return self._connection.policy.path

    def context_of(self, call: Call) -> Any:
        """The context that the function of this call gets."""
        return self._make_context(call)

    def receive(self, request: Request) -> None:
        """A call has arrived."""
        deadline = self._deadline(request)
        if deadline is not None and deadline <= self.loop.time():
            # It arrived after its deadline: the client has stopped waiting, and may have reported that to its user.
            self.send(refusal(request.id, CallError("timeout", "the call arrived after its deadline")))
        elif request.origin is not None:
            self._receive_retryable(request, request.origin, deadline)
        elif request.id not in self._calls:
            self._admit(request, deadline)

    def _transit_time(self, request: Request) -> float | None:
        """The most seconds that the call was in transit: the clocks of both sides start at the hello."""
        return None if request.at is None else max(self.loop.time() - self._since - request.at / 1000, 0.0)

    def _deadline(self, request: Request) -> float | None:
        if request.left is None:
            return None
        return self.loop.time() + request.left / 1000 - (self._transit_time(request) or 0.0)

    def _receive_retryable(self, request: Request, origin: str, deadline: float | None) -> None:
        """A call with ``retry``, sent for the first time or again."""
        record = self.remembered.find(origin, request.id)
        if record is not None:
            if record.outcome is not None:
                self.send(Verbatim(record.outcome))
            elif isinstance(record.running, Call):
                self._take_over(record.running, request, deadline)
        elif not self._is_of_same_client(origin) or self._may_have_run(request, origin):
            self.send(refusal(request.id, CallError("interrupted", "it is not known whether the call was executed")))
        elif self.remembered.unfinished(origin) >= self._limit:
            self._refuse_busy(request)
        else:
            self._admit(request, deadline, origin)

    def _take_over(self, call: Call, request: Request, deadline: float | None) -> None:
        """A copy of a running or queued call: a later one over another connection, or an earlier one, delayed."""
        if not call.is_older_than(request.age, self):
            return
        if call.drop_if_waiting():
            self._admit(request, deadline, request.origin)
        else:
            call.move(self, request.age)
            self._calls[request.id] = call

    def _is_of_same_client(self, origin: str) -> bool:
        """Whether a call was first sent to this process, by a client of the same session and user.

        The middle of an origin is a random number that was sent to that client only.
        """
        process, _, rest = self.client.partition(".")
        return origin.startswith(f"{process}.") and origin.rpartition(".")[2] == rest.rpartition(".")[2]

    def _may_have_run(self, request: Request, origin: str) -> bool:
        """Whether a call without a record may have been executed."""
        transit = self._transit_time(request)
        if transit is None:
            return True
        # The first copy may arrive after a later one, over the next connection. Its age is its time in transit, which
        # needs no margin.
        age = request.age / 1000 + MARGIN if request.age > 0 else 0.0
        return self.remembered.may_have_run(origin, age + transit)

    @property
    def _limit(self) -> int:
        return self._connection.policy.limits.calls_per_connection

    def _refuse_busy(self, request: Request) -> None:
        limit_met(
            "calls_per_connection",
            "%s: a call was refused with 'busy': %d calls of its connection are being answered"
            " (Limits.calls_per_connection)",
            self.path,
            self._limit,
        )
        self.send(refusal(request.id, CallError("busy", f"{self._limit} calls are being answered")))

    def _admit(self, request: Request, deadline: float | None, origin: str | None = None) -> None:
        if len(self._calls) >= self._limit:
            self._refuse_busy(request)
            return
        call = Call(self, request.id, request.name, deadline, origin or self.client, request.age)
        self._calls[request.id] = call
        if origin is not None:
            call.remember(self.remembered.begin(origin, request.id))
        inbox = self._connection.inbox
        if inbox.has_taken_all:
            call.begin(request.arguments)
        else:
            # As bytes, like queued messages: parsed, they may take many times the memory.
            turn = Turn(partial(_begin_queued, call))
            call.wait(turn)
            inbox.hold(encode_json(request.arguments), turn)

    def send(self, message: Verbatim) -> None:
        """Send an answer, if the connection is still open."""
        self._connection.send_prepared(message)

    def keep(self, task: asyncio.Task[None]) -> None:
        """Hold a reference to the task of an answer until it ends."""
        self._connection.keep(task)

    def withdraw(self, turn: Turn) -> None:
        """A queued call has its answer: remove its turn from the queue."""
        self._connection.inbox.withdraw(turn)

    def discard(self, id_: int, call: Call) -> None:
        """Forget a call: it has its answer, or is answered over another connection."""
        if self._calls.get(id_) is call:
            del self._calls[id_]

    def cancel(self, id_: int) -> None:
        """The client has cancelled a call."""
        call = self._calls.get(id_)
        if call is not None:
            call.cancel()

    def ended(self) -> None:
        """The connection has ended."""
        for call in list(self._calls.values()):
            call.lost()


def _begin_queued(call: Call, payload: bytes) -> None:
    call.begin(decode_json(payload))
