"""A connection of the test client that is being opened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, TypeVar

from odac.testing.connection import AsyncTestConnection

__all__ = ["Connecting", "earlier_connection"]

T = TypeVar("T")


def earlier_connection(again: T | None, kind: type[T]) -> T | None:
    """Check the argument ``again`` of ``connect``.

    Args:
        again: an earlier connection of the client, or None.
        kind: the class of the client's connections.

    Raises:
        TypeError: it is something else.
    """
    if again is not None and not isinstance(again, kind):
        raise TypeError(
            f"again= takes an earlier connection of this client, the {kind.__name__} that connect() returned,"
            f" not {again!r}"
        )
    return again


class Connecting:
    """What :meth:`AsyncTestClient.connect` returns: await it, or enter it."""

    __slots__ = ("_connection", "_open")

    def __init__(self, open: Callable[[], Awaitable[AsyncTestConnection]]) -> None:  # noqa: A002 - it is what it does
        self._open = open
        self._connection: AsyncTestConnection | None = None

    def __await__(self) -> Generator[Any, None, AsyncTestConnection]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncTestConnection:
        self._connection = await self._open()
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._connection is not None
        await self._connection.__aexit__(kind, error, traceback)
