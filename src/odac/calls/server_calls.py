"""Calls by the server to a client: each waits for its answer until a deadline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from odac.calls.messages import encode
from odac.errors import CallError, Disconnected
from odac.protocol.message import Verbatim
from odac.protocol.types import make_converter

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["MOST_WAITING", "ServerCalls"]

MOST_WAITING: Final = 1024
"""The most calls of one connection that wait for their answers; the client answers 16 at a time."""

_NOT_WAITING: Final = (None, None)


class ServerCalls:
    """The server's calls to one client.

    Args:
        connection: to the client.
        since: when the hello was sent, by the loop's clock; None if this was made after it.
    """

    __slots__ = ("_connection", "_number", "_since", "_waiting")

    def __init__(self, connection: Connection, since: float | None) -> None:
        self._connection = connection
        self._number = 0
        self._since = since
        self._waiting: dict[int, tuple[Verbatim, asyncio.Future[Any]]] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether a call has no answer yet."""
        return bool(self._waiting)

    async def call(self, name: str, arguments: object, timeout: float, returns: Any) -> Any:  # noqa: ASYNC109
        """Ask, and wait for the answer: see :meth:`odac.Connection.call`."""
        connection = self._connection
        loop = connection.loop
        if len(self._waiting) >= MOST_WAITING:
            raise CallError("busy", f"{MOST_WAITING} calls of this connection wait for their answers")
        self._number += 1
        number = self._number
        at = None if self._since is None else int((loop.time() - self._since) * 1000)
        message = encode("call", number, name, arguments, at, int(timeout * 1000))
        answer: asyncio.Future[Any] = loop.create_future()
        self._waiting[number] = message, answer
        try:
            connection.inbox.read_for_answer()
            connection.put(message)
            try:
                async with asyncio.timeout(timeout):
                    value = await answer
            except TimeoutError:
                self._cancel(number, message)
                raise CallError("timeout", f"no answer to {name!r} within {timeout:g} s") from None
            except asyncio.CancelledError:
                self._cancel(number, message)
                raise
        finally:
            del self._waiting[number]
        return value if returns is None else make_converter(returns)(value)

    def _cancel(self, number: int, message: Verbatim) -> None:
        """Cancel a call: notify the client, or drop the call if it is still in the backlog."""
        backlog = self._connection.outbox.backlog
        if backlog is None or not backlog.withdraw(message):
            self._connection.send_prepared(encode("cancel", number))

    def answered(self, number: int, value: object, error: CallError | None) -> None:
        """An answer has arrived; an answer to a call that was cancelled or has timed out is ignored."""
        _, answer = self._waiting.get(number, _NOT_WAITING)
        if answer is None or answer.done():
            return
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)

    def fail_all(self, code: str, text: str) -> None:
        """Fail every call that waits for its answer."""
        for number, (message, answer) in list(self._waiting.items()):
            if not answer.done():
                self._cancel(number, message)
                answer.set_exception(CallError(code, text))

    def ended(self, code: int, reason: str) -> None:
        """The connection has ended."""
        for _, answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Disconnected(code, reason))
