"""What ``odac.auth.check()`` and ``odac.auth.user()`` return: a coroutine that cannot be taken for its answer."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any, NoReturn, TypeVar

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

    def __bool__(self) -> NoReturn:
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
