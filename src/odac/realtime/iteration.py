"""Iterating over the messages of a connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from odac.errors import Disconnected

__all__ = ["Messages"]

T = TypeVar("T")


class Messages(AsyncIterator[T], Generic[T]):
    """The iterator of ``async for data in odac.ws``.

    An asynchronous generator would end for good when a wait for its next item is cancelled
    (``asyncio.wait_for(anext(messages), 5)``); here the next call waits again, and no message is lost.

    Args:
        receive: waits for the next message, and raises :class:`Disconnected` after the last one.
    """

    __slots__ = ("_receive",)

    def __init__(self, receive: Callable[[], Awaitable[T]]) -> None:
        self._receive = receive

    async def __anext__(self) -> T:
        try:
            return await self._receive()
        except Disconnected:
            raise StopAsyncIteration from None
