"""The server's side of one WebSocket connection in process: runs the app, and receives its messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from odac.client.errors import HandshakeRefused, refused
from odac.close_codes import CloseCode
from odac.notices import refusal_listener, unhandled_listener
from odac.protocol.message import Prepared
from odac.security.authentication import given_user
from odac.testing.exchange import Environment, Message

__all__ = ["ServerSide"]


class ServerSide:
    """Does for the app what an ASGI server does.

    Args:
        environment: what all connections of a test client share.
        scope: of the handshake.
        user: what ``odac.auth.user()`` returns; None to let the app find the user.
        raises: whether exceptions of the app are raised in the test.
        on_message: called with each message that the app sends.
        on_close: called with code and reason when the app closes; it has to call :meth:`disconnect`.

    Attributes:
        accepted: whether the app has accepted the handshake.
        closed: code and reason, whichever side closed; None while the connection is open.
        reading: cleared while the client reads nothing.
        subprotocol: the one that the app selected.
        task: the one that runs the app.
    """

    def __init__(
        self,
        environment: Environment,
        scope: dict[str, Any],
        *,
        user: Any,
        raises: bool,
        on_message: Callable[[Message], None],
        on_close: Callable[[int, str], None],
    ) -> None:
        self.accepted = False
        self.closed: tuple[int, str] | None = None
        self.reading = asyncio.Event()
        self.reading.set()
        self.subprotocol: str | None = None
        self.task: asyncio.Task[None] | None = None
        self._environment = environment
        self._scope = scope
        self._user = user
        self._raises = raises
        self._on_message = on_message
        self._on_close = on_close
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._refusal: HandshakeRefused | None = None
        self._why = ""
        self._denial: dict[str, Any] = {}
        self._denial_body = bytearray()
        self._changed = asyncio.Event()

    # From the client

    def start(self) -> None:
        """Start the app, with the handshake."""
        self.task = asyncio.get_running_loop().create_task(self._run(), name=f"app for {self._scope['path']}")
        self._to_app.put_nowait({"type": "websocket.connect"})

    def write(self, message: Prepared) -> None:
        """Pass a message of the client to the app."""
        if message.is_text:
            self._to_app.put_nowait({"type": "websocket.receive", "text": message.payload.decode()})
        else:
            self._to_app.put_nowait({"type": "websocket.receive", "bytes": message.payload})

    def disconnect(self, code: int, reason: str) -> None:
        """The connection is closed: send the app ``websocket.disconnect``."""
        self.closed = (code, reason)
        self.reading.set()
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._changed.set()

    async def wait_for_change(self) -> None:
        """Wait until the app has sent something or has returned, or the connection is closed."""
        self._changed.clear()
        await self._changed.wait()

    @property
    def refusal(self) -> HandshakeRefused | None:
        """The app's refusal of the handshake, with the reason that a server would log."""
        refusal = self._refusal
        if refusal is None or not self._why:
            return refusal
        return HandshakeRefused(refusal.status, f"{refusal.reason.rstrip('.')}: {self._why}", refusal.headers)

    @property
    def is_over(self) -> bool:
        """Whether the app has returned, or does not run yet."""
        return self.task is None or self.task.done()

    def raise_for_app(self) -> None:
        """Raise the exception of a handler, or of the ASGI app itself."""
        self._environment.raise_failure()
        task = self.task
        if task is not None and task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error

    # From the app

    async def _run(self) -> None:
        # Set in this task's context, which all code of the app that runs for the connection inherits.
        unhandled_listener.set(self._environment.failures.append if self._raises else None)
        refusal_listener.set(self._explain)
        given_user.set(self._user)
        try:
            await self._environment.app(self._scope, self._receive, self._on_app_message)
        finally:
            if self.accepted and self.closed is None:
                # Servers end the connection of an app that returns without closing it.
                self.closed = (int(CloseCode.INTERNAL_ERROR), "the app returned without closing")
            self._changed.set()

    def _explain(self, why: str) -> None:
        self._why = why

    async def _receive(self) -> Message:
        self._environment.activity += 1
        message = await self._to_app.get()
        self._environment.activity += 1
        return message

    async def _on_app_message(self, message: Message) -> None:
        self._environment.activity += 1
        kind = message["type"]
        if kind == "websocket.accept" and not self.accepted:
            self.accepted = True
            self.subprotocol = message.get("subprotocol")
        elif kind == "websocket.send" and self.accepted:
            while not self.reading.is_set() and self.closed is None:
                await self.reading.wait()
            if self.closed is not None:
                raise ConnectionResetError("the test's client has closed the connection")
            self._on_message(message)
        elif kind == "websocket.close":
            self._on_app_close(message)
        elif kind == "websocket.http.response.start" and not self.accepted:
            self._denial = dict(message)
        elif kind == "websocket.http.response.body" and self._denial:
            self._on_denial_body(message)
        else:
            raise RuntimeError(f"the app sent {kind!r}, which ASGI does not allow in this state of the connection")
        self._changed.set()

    def _on_app_close(self, message: Message) -> None:
        if not self.accepted:
            self._refusal = HandshakeRefused(403, message.get("reason") or "the app closed instead of accepting")
        elif self.closed is None:
            self._on_close(message.get("code", int(CloseCode.NORMAL)), message.get("reason") or "")

    def _on_denial_body(self, message: Message) -> None:
        self._denial_body += message.get("body", b"")
        if not message.get("more_body", False):
            headers = tuple(
                (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
                for name, value in self._denial.get("headers", ())
            )
            self._refusal = refused(self._denial["status"], self._denial_body, headers)
            self._to_app.put_nowait({"type": "websocket.disconnect", "code": int(CloseCode.ABNORMAL), "reason": ""})
