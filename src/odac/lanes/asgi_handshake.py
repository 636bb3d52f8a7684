"""The handshake of the ASGI lane: refuses or accepts it with the messages of the ASGI specification."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, cast

from odac.close_codes import CloseCode
from odac.lanes.asgi import AsgiLane, Receive, Send
from odac.realtime.connection import Connection

if TYPE_CHECKING:
    from odac.realtime.hub import Hub
    from odac.realtime.policy import Policy

__all__ = ["AsgiHandshake"]


class AsgiHandshake:
    """A handshake by plain ASGI messages.

    Args:
        scope: of the connection.
        receive: the server's.
        send: the server's.
    """

    def __init__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send

    async def refuse(self, status: int, reason: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Answer with an HTTP status; a server without the extension for denial responses answers 403."""
        if (await self._receive())["type"] != "websocket.connect":
            return
        try:
            if "websocket.http.response" in (self._scope.get("extensions") or {}):
                raw = [
                    (b"content-type", b"text/plain; charset=utf-8"),
                    *((name.lower().encode(), value.encode()) for name, value in headers),
                ]
                await self._send({"type": "websocket.http.response.start", "status": status, "headers": raw})
                await self._send({"type": "websocket.http.response.body", "body": reason.encode()})
            else:
                await self._send({"type": "websocket.close", "code": CloseCode.POLICY_VIOLATION, "reason": reason})
        except OSError:
            pass  # the client disconnected before the answer

    async def open(
        self, hub: Hub, policy: Policy, subprotocol: str | None, *, speaks_odac: bool, compression: bool
    ) -> Connection | None:
        """Accept; the server negotiates compression by itself."""
        if (await self._receive())["type"] != "websocket.connect":
            return None
        lane = AsgiLane(self._receive, self._send, policy.limits)
        connection = Connection(hub, lane, policy, speaks_odac=speaks_odac)
        lane.attach(connection)
        connection.context = copy_context()
        try:
            await self._send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})
        except OSError:
            return None
        return connection

    async def serve(self, connection: Connection, handling: Coroutine[Any, Any, None]) -> None:
        """Run the handler and the loop that receives, at the same time."""
        lane = cast("AsgiLane", connection.lane)  # read before the handler runs: a released connection has it no more
        handler = connection.loop.create_task(handling, context=connection.context)
        try:
            await lane.serve()
            await handler
        except asyncio.CancelledError:
            handler.cancel()
            raise
        if lane.refusal is not None:
            raise lane.refusal
