"""Awaitable results of sending to a room with history and of joining one; the library itself never awaits them."""

from __future__ import annotations

import asyncio
from _thread import get_ident
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from odac.errors import BrokerError
from odac.realtime.sent import Receipt

__all__ = ["JOINED", "MAX_REPLAY", "HistoryEntry", "Joined", "Joining", "KeptSend", "Recovery"]


MAX_REPLAY: Final = 1000
"""Messages of a room's history that one ``join`` may ask for."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """The messages that a member got when it joined a room with history.

    Args:
        recovered: True: it got all messages that it had missed, once and in order. False: some may be missing, so load
            the state; it got the last ``replay`` messages. None: it joined for the first time and missed nothing.
        count: the number of messages of the history that it got.
    """

    recovered: bool | None
    count: int


_NOTHING: Final = Recovery(None, 0)


class HistoryEntry(NamedTuple):
    """A message of a room's history.

    Args:
        position: its position, for ``history(room, since=…)``.
        data: the message as a listener would get it.
        time: when the broker received it, in seconds since 1970.
    """

    position: str
    data: Any
    time: float


class Joined(Receipt):
    """The member is in the room and gets new messages."""

    __slots__ = ()

    def __await__(self) -> Generator[object, None, Recovery]:  # type: ignore[override]
        return _NOTHING
        yield  # type: ignore[unreachable]


JOINED: Final = Joined()
"""The result for every room without history: one object for all."""


class Joining(Joined):
    """The member catches up with a room's history.

    Args:
        loop: the hub's event loop.
    """

    __slots__ = ("_future", "_loop", "_result")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._result: Recovery | None = None
        self._future: asyncio.Future[Recovery] | None = None

    def __await__(self) -> Generator[Any, None, Recovery]:  # type: ignore[override]
        if self._result is not None:
            return self._result
        if self._future is None:
            self._future = self._loop.create_future()
        return (yield from asyncio.shield(self._future).__await__())

    def arrived(self, recovery: Recovery) -> None:
        """The member has caught up, or its connection has ended: then ``recovery`` is meaningless."""
        if self._result is None:
            self._result = recovery
            if self._future is not None and not self._future.done():
                self._future.set_result(recovery)


class KeptSend(Receipt):
    """A send to a room with history: awaiting it waits until the broker has it.

    Args:
        loop: the hub's event loop.

    Attributes:
        awaited: whether a caller awaits it and so learns of a failure; otherwise the failure is logged.
    """

    __slots__ = ("_error", "_future", "_is_done", "_loop", "_thread", "awaited")

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        self._loop = loop
        self._thread = thread
        self._is_done = False
        self._error: BrokerError | None = None
        self._future: asyncio.Future[None] | None = None
        self.awaited = False

    def __await__(self) -> Generator[Any, None, None]:
        self.awaited = True
        if self._is_done:
            if self._error is not None:
                raise self._error
            return None
        if get_ident() != self._thread:
            there = asyncio.run_coroutine_threadsafe(_wait_for(self), self._loop)
            return (yield from asyncio.wrap_future(there).__await__())
        if self._future is None:
            self._future = self._loop.create_future()
        # Not shield(): since Python 3.14 it logs an error that comes after its caller was cancelled.
        yield from asyncio.wait((self._future,)).__await__()
        return self._future.result()

    def confirmed(self) -> None:
        """The broker has it."""
        self._end(None)

    def failed(self, error: BrokerError) -> None:
        """It is unknown whether the broker has it."""
        self._end(error)

    def _end(self, error: BrokerError | None) -> None:
        self._is_done = True
        self._error = error
        if self._future is not None and not self._future.done():
            if error is None:
                self._future.set_result(None)
            else:
                self._future.set_exception(error)
                self._future.exception()  # the caller that awaited it may have been cancelled


async def _wait_for(receipt: KeptSend) -> None:
    await receipt
