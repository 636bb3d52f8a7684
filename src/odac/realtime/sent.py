"""The result of sending: an object that need not be awaited; awaiting it waits for room in the peer's buffer."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Final, TypeGuard

__all__ = ["ONE_TURN", "SENT", "Receipt", "Sent", "is_to_be_awaited"]


class Sent:
    """The result of sending: awaiting it waits until the peer's buffer has room, or the connection has ended."""

    __slots__ = ()

    def __await__(self) -> Generator[object, None, None]:
        return
        yield


SENT: Final = Sent()
"""The result when there is room already, the usual case: all senders get this one object."""


class _OneTurn(Sent):
    """Awaiting it lets every other task run once: a loop of awaited sends must not block the event loop."""

    __slots__ = ()

    def __await__(self) -> Generator[object, None, None]:
        yield None


ONE_TURN: Final = _OneTurn()


class Receipt(Sent):
    """Can be awaited. If a listener or handler happens to return one, it is not awaited."""

    __slots__ = ()


def is_to_be_awaited(result: object) -> TypeGuard[Awaitable[object]]:
    """Whether the result of a listener or handler must be awaited; most return the result of sending, which is not."""
    return (
        result is not None and result is not SENT and hasattr(result, "__await__") and not isinstance(result, Receipt)
    )
