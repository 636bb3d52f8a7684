"""The messages that a client offers to send before its connection is admitted: a bearer token, and its positions."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from odac.realtime.connection import Connection
    from odac.realtime.ports import ControlHandler

__all__ = ["POSITIONS", "TOKEN", "OfferedMessages"]

TOKEN: Final = "auth"  # noqa: S105 - the kind of a message
"""The kind of the control message with a bearer token."""

POSITIONS: Final = "resume"
"""The kind of the control message with the positions of a client in its rooms with history."""


class OfferedMessages:
    """The control messages that are expected of connections which are not admitted yet.

    Attributes:
        handlers: of the control messages of both kinds. A message that is not expected is ignored.
    """

    __slots__ = ("_expected", "handlers")

    def __init__(self) -> None:
        self._expected: dict[Connection, dict[str, asyncio.Future[list[Any] | None]]] = {}
        self.handlers: dict[str, ControlHandler] = {kind: partial(self._arrived, kind) for kind in (TOKEN, POSITIONS)}

    def __len__(self) -> int:
        return len(self._expected)

    def expect(self, connection: Connection, kind: str) -> None:
        """A client has offered a message, which may arrive from now on."""
        self._expected.setdefault(connection, {})[kind] = connection.loop.create_future()

    async def receive(self, connection: Connection, kind: str, seconds: float) -> list[Any] | None:
        """Wait for a message.

        Args:
            connection: the client's.
            kind: of the message.
            seconds: to wait at most.

        Returns:
            the items after the kind; None if the message was not offered or does not arrive in time, and as soon as
            the connection begins to close.
        """
        message = self._expected.get(connection, {}).get(kind)
        if message is None:
            return None
        try:
            async with asyncio.timeout(seconds):
                return await message
        except TimeoutError:
            return None
        finally:
            self._discard(connection, kind)

    def closing(self, connection: Connection) -> None:
        """A connection begins to close: nothing more arrives on it."""
        for message in self._expected.pop(connection, {}).values():
            if not message.done():
                message.set_result(None)

    def _arrived(self, kind: str, connection: Connection, values: list[Any]) -> None:
        message = self._expected.get(connection, {}).get(kind)
        if message is not None and not message.done():
            message.set_result(values)

    def _discard(self, connection: Connection, kind: str) -> None:
        messages = self._expected.get(connection)
        if messages is not None:
            messages.pop(kind, None)
            if not messages:
                del self._expected[connection]
