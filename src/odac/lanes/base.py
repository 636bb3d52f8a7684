"""The interface of a handshake that is not answered yet; each lane implements it."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import asyncio

    from odac.realtime.connection import Connection
    from odac.realtime.hub import Hub
    from odac.realtime.policy import Policy

__all__ = ["BEGINS_WITHOUT_TASK", "LANE_EXTENSION", "ImmediateHandshake", "PendingHandshake"]

LANE_EXTENSION: Final = "odac.lane"
"""The key in ``scope["extensions"]`` under which the server offers its direct lane."""

BEGINS_WITHOUT_TASK: Final = "begins_without_task"
"""The attribute of an ASGI app that is true if the app may be called outside a task (see
:mod:`odac.realtime.taskless`) and has ``begin_handshake(scope, handshake)``, where the handshake is an
:class:`ImmediateHandshake`. The method answers at once, and returns None or a coroutine that does the rest.
"""


class PendingHandshake(Protocol):
    """A handshake that waits for its answer."""

    async def refuse(self, status: int, reason: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Answer with an HTTP status instead of the upgrade."""
        ...

    async def open(
        self, hub: Hub, policy: Policy, subprotocol: str | None, *, speaks_odac: bool, compression: bool
    ) -> Connection | None:
        """Answer with the upgrade; None if the client has disconnected meanwhile."""
        ...

    async def serve(self, connection: Connection, handling: Coroutine[Any, Any, None]) -> None:
        """Await the route's handler, and return when this task is no longer needed."""
        ...


class ImmediateHandshake(PendingHandshake, Protocol):
    """A handshake that can be answered without waiting.

    Attributes:
        loop: the running event loop.
    """

    loop: asyncio.AbstractEventLoop

    def refuse_now(self, status: int, reason: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """See :meth:`refuse`."""
        ...

    def open_now(
        self, hub: Hub, policy: Policy, subprotocol: str | None, speaks_odac: bool, compression: bool
    ) -> Connection | None:
        """See :meth:`open`."""
        ...

    async def receive(self) -> dict[str, Any]:
        """Receive the next message of plain ASGI."""
        ...

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message of plain ASGI."""
        ...
