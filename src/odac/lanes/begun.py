"""Coroutines that are started outside a task, because most end without waiting: only one that waits gets a task."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

__all__ = ["Resumed"]


class Resumed:
    """Continues a coroutine that was started outside a task and now waits for something.

    Args:
        coroutine: started with ``send(None)``.
        awaited: the value that ``send`` returned, which is passed to the event loop.
    """

    __slots__ = ("_awaited", "_coroutine")

    def __init__(self, coroutine: Coroutine[Any, Any, None], awaited: object) -> None:
        self._coroutine = coroutine
        self._awaited = awaited

    def __await__(self) -> Generator[object, Any, None]:
        awaited = self._awaited
        try:
            while True:
                try:
                    value = yield awaited
                except BaseException as error:
                    awaited = self._coroutine.throw(error)
                else:
                    awaited = self._coroutine.send(value)
        except StopIteration:
            return
