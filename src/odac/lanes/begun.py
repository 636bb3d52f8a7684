"""Coroutines begun outside a task, because they usually end without waiting: only one that waits gets a task."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

__all__ = ["Resumed"]


class Resumed:
    """Goes on with a coroutine that was begun outside a task and has come to wait for something.

    Args:
        coroutine: begun with ``send(None)``.
        waiting: what that returned, which the event loop is to be given.
    """

    __slots__ = ("_coroutine", "_waiting")

    def __init__(self, coroutine: Coroutine[Any, Any, None], waiting: object) -> None:
        self._coroutine = coroutine
        self._waiting = waiting

    def __await__(self) -> Generator[object, Any, None]:
        waiting = self._waiting
        try:
            while True:
                try:
                    value = yield waiting
                except BaseException as error:
                    waiting = self._coroutine.throw(error)
                else:
                    waiting = self._coroutine.send(value)
        except StopIteration:
            return
