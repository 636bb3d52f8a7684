"""What sending returns: an object that need not be awaited, and says when awaited that there is room for more."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Final, TypeGuard

__all__ = ["ONE_TURN", "SENT", "Receipt", "Sent", "is_to_be_awaited"]


class Sent:
    """What sending returns: awaiting it waits until the peer's buffer has room, at most until the connection ends."""

    __slots__ = ()

    def __await__(self) -> Generator[object, None, None]:
        return
        yield


SENT: Final = Sent()
"""There is room already, which is nearly always so: one object is returned to every sender."""


class _OneTurn(Sent):
    """Awaiting it lets every other task run once: a loop of awaited sends must not keep the event loop to itself."""

    __slots__ = ()

    def __await__(self) -> Generator[object, None, None]:
        yield None


ONE_TURN: Final = _OneTurn()


class Receipt(Sent):
    """Can be awaited. A listener or handler that happens to return one is not kept waiting for it."""

    __slots__ = ()


def is_to_be_awaited(result: object) -> TypeGuard[Awaitable[object]]:
    """Whether a listener's or handler's result has something to wait for: most return what sending returns."""
    return (
        result is not None and result is not SENT and hasattr(result, "__await__") and not isinstance(result, Receipt)
    )
