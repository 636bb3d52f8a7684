"""The awaitables that ``send()`` and ``close()`` of the Python client return."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any

from odac.client.socket import Socket

__all__ = ["Closing", "Sent"]


class Sent:
    """The result of a send: true when the message was sent or queued, false when it was refused.

    Awaiting it waits, if the message was sent, until the socket's send buffer has room, and gives the same value. It
    need not be awaited.
    """

    __slots__ = ("_accepted", "_socket")

    def __init__(self, accepted: bool, socket: Socket | None = None) -> None:
        self._accepted = accepted
        self._socket = socket

    def __bool__(self) -> bool:
        return self._accepted

    def __await__(self) -> Generator[Any, None, bool]:
        if self._socket is not None:
            yield from self._socket.writable().__await__()
        return self._accepted


class Closing:
    """The result of :meth:`ClientConnection.close`: awaiting it waits for the end."""

    __slots__ = ("_wait",)

    def __init__(self, wait: Callable[[], Awaitable[None]]) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()
