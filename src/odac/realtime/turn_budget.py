"""Bounds the bytes of messages that all connections together may decode in one turn of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final
from weakref import WeakValueDictionary

__all__ = ["FREE", "TurnBudget", "turn_of"]

_BYTES: Final = 256 * 1024
"""Bytes of one turn: as many as one read returns; at worst one more message is decoded. JSON that consists of brackets
takes 37 ms for each MiB.
"""

FREE: Final = 4096
"""Bytes below which a read is not counted: decoding it costs less than waiting."""


class TurnBudget:
    """Postpones reads to the next turn of the event loop once the bytes of this one are spent.

    Timers, new connections and small messages are handled in between, however much other peers send. Postponed reads
    are served first in, first out. The budget is refilled one turn of the loop after it ran out; turns that spend
    little cost nothing.

    Args:
        loop: the event loop of all connections.
    """

    __slots__ = ("__weakref__", "_is_scheduled", "_loop", "_waiting", "left")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], object]] = deque()
        self._is_scheduled = False
        self.left = _BYTES

    def spend(self, size: int) -> None:
        """Messages of ``size`` bytes together are about to be decoded, or have been."""
        if size >= FREE:
            self.left -= size
            if self.left <= 0:
                self._schedule()

    def call_next(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` in the next turn that has bytes left, after the reads that are postponed already."""
        self._waiting.append(callback)
        self._schedule()

    async def wait_next(self, size: int) -> None:
        """Wait for the next turn that has bytes left, and spend ``size`` of them."""
        turn = asyncio.Event()

        def begin() -> None:
            self.spend(size)
            turn.set()

        self.call_next(begin)
        await turn.wait()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._is_scheduled = False
        self.left = _BYTES
        for _ in range(len(self._waiting)):
            if self.left <= 0:
                break
            self._waiting.popleft()()
        if self._waiting:
            self._schedule()


_budgets: WeakValueDictionary[int, TurnBudget] = WeakValueDictionary()


def turn_of(loop: asyncio.AbstractEventLoop) -> TurnBudget:
    """The budget that all connections of an event loop share, including those of wrapped apps."""
    budget = _budgets.get(id(loop))  # a budget refers to its loop, so the id cannot have been used again
    if budget is None:
        budget = _budgets[id(loop)] = TurnBudget(loop)
    return budget
