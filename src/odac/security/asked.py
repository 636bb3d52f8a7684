"""What ``odac.auth.check()`` and ``odac.auth.user()`` return: a coroutine that cannot be taken for its answer."""

from __future__ import annotations

import sys
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

__all__ = ["Asked"]

T = TypeVar("T", covariant=True)


class Asked(Coroutine[Any, Any, T]):
    """A coroutine without a truth value: ``if odac.auth.check():`` without ``await`` would let everybody in.

    Args:
        coroutine: what is awaited.
        call: how it is written, for the error.
    """

    __slots__ = ("_call", "_coroutine")

    def __init__(self, coroutine: Coroutine[Any, Any, T], call: str) -> None:
        self._coroutine = coroutine
        self._call = call

    def __await__(self) -> Generator[Any, Any, T]:
        return self._coroutine.__await__()

    def __bool__(self) -> bool:
        # Since Python 3.12, the representation of a task asks whether it has its coroutine.
        if sys._getframe(1).f_globals.get("__name__") != "asyncio.base_tasks":
            self._refuse()
        return True

    def __getitem__(self, key: object) -> NoReturn:
        self._refuse()

    if not TYPE_CHECKING:  # for a type checker, an attribute that is not there is a mistake

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith(("_", "cr_", "gi_", "ag_")):  # asked for by asyncio and inspect, of any coroutine
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            self._refuse()

    def _refuse(self) -> NoReturn:
        self._coroutine.close()
        raise TypeError(f"{self._call} has its answer when it is awaited: write `await {self._call}` in an async def")

    def send(self, value: Any) -> Any:
        """See :class:`collections.abc.Coroutine`, for :func:`asyncio.create_task` and the like."""
        return self._coroutine.send(value)

    def throw(self, kind: Any, value: Any = None, traceback: TracebackType | None = None) -> Any:
        """See :class:`collections.abc.Coroutine`."""
        return self._coroutine.throw(kind if value is None else value)

    def close(self) -> None:
        """See :class:`collections.abc.Coroutine`."""
        self._coroutine.close()
