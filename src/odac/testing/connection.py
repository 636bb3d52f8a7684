"""One WebSocket connection in process: the test is the client, the app is the server, ASGI is between them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from odac.client.calls import Calls, check_call, names_at
from odac.client.errors import HandshakeRefused, refused
from odac.client.link import PROTOCOL
from odac.client.presence import Person, PresenceChange, Rosters
from odac.client.recovery import RESUME, Positions, Recover
from odac.close_codes import CloseCode
from odac.errors import CallError, Disconnected, InvalidMessage
from odac.notices import witness
from odac.protocol import codec
from odac.protocol.control import PONG, decode_control, is_control, unescape
from odac.protocol.message import Prepared
from odac.security.authentication import given_user
from odac.testing.exchange import Message, World
from odac.testing.loop import settle, within
from odac.wire.frames import check_close

__all__ = ["AsyncTestConnection", "NothingReceived"]

H = TypeVar("H", bound=Callable[..., Any])

TIMEOUT: Final = 1.0
"""Seconds of the app's time that :meth:`AsyncTestConnection.receive` waits unless told otherwise."""


class NothingReceived(AssertionError):
    """No message came."""


class AsyncTestConnection:
    """A client's end of a connection to the app, made by :meth:`AsyncTestClient.connect`.

    Each call that can make the app do something returns when the app is idle again, so that what follows from it can
    be asserted at once.

    Attributes:
        received: every message so far, whether it was taken with :meth:`receive` or not.
        control: every control message so far, as ``(kind, values)``.
        presence: the changes that the event ``presence`` would have had so far.
        recoveries: the arguments that the event ``recover`` would have had so far.
        positions: the client's position in each room with history.
        id: the connection's id, as the app's ``odac.ws.id``; None without odac.v1.
        token: the last token that the app sent for a reconnect.
        subprotocol: what the app selected.
    """

    __test__ = False  # pytest: not a test class

    def __init__(
        self,
        world: World,
        scope: dict[str, Any],
        positions: Positions | None = None,
        *,
        user: Any = None,
        raises: bool = True,
    ) -> None:
        self.received: list[Any] = []
        self.control: list[tuple[str, list[object]]] = []
        self.recoveries: list[Recover] = []
        self.presence: list[PresenceChange] = []
        self._rosters = Rosters()
        self.positions = positions or Positions()
        self.id: str | None = None
        self.token: str | None = None
        self.subprotocol: str | None = None
        self._world = world
        self._scope = scope
        self._user = user
        self._raises = raises
        self._reading = asyncio.Event()
        self._reading.set()
        self._drop_after: int | None = None
        self._unread: deque[Any] = deque()
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._closed: tuple[int, str] | None = None
        self._accepted = False
        self._denial: dict[str, Any] = {}
        self._denial_body = bytearray()
        self._refusal: HandshakeRefused | None = None
        self._changed = asyncio.Event()
        self._app: asyncio.Task[None] | None = None
        self._calls = Calls(_Turns())
        self._wire = _Wire(self._write)

    def __repr__(self) -> str:
        state = "open" if self._closed is None else f"closed {self._closed}"
        # pytest shows this where an assertion about the connection fails.
        unread = f", not taken: {_shown(list(self._unread))}" if self._unread else ""
        return f"<{type(self).__name__} {self._scope['path']} {state}{unread}>"

    # The test's side

    async def open(self) -> None:
        """Do the handshake."""
        self._app = asyncio.get_running_loop().create_task(self._run(), name=f"app for {self._scope['path']}")
        self._to_app.put_nowait({"type": "websocket.connect"})
        resume = self.positions.resume()
        self.positions.opened()
        if resume is not None and self.resumes:
            self._write(resume)
        while not self._accepted and self._refusal is None and not self._app.done():
            self._changed.clear()
            await self._changed.wait()
        if self._refusal is not None:
            await self.settle()
            self._world.raise_failure()
            raise self._refusal
        if not self._accepted:
            self._raise_for_app()
            raise HandshakeRefused(500, "the app returned without answering the handshake")
        await self.settle()
        self._raise_for_app()

    async def send(self, data: Any) -> None:
        """Send a message: dict, list, number, bool, None as JSON text; ``str`` as text as it is; bytes-like as binary.

        Raises:
            Disconnected: the connection is closed.
            TypeError: ``data`` cannot be sent.
        """
        await self._send(codec.encode(data))

    async def send_binary(self, data: Any) -> None:
        """Send any bytes-like object as a binary message."""
        await self._send(codec.encode_binary(data))

    async def _send(self, message: Prepared) -> None:
        self._raise_for_app()
        if self._closed is not None:
            raise Disconnected(*self._closed)
        self._write((message.escaped or message) if self.subprotocol == PROTOCOL else message)
        await self.settle()
        self._raise_for_app()

    async def receive(self, timeout: float = TIMEOUT) -> Any:  # noqa: ASYNC109 - it is the app's time
        """Take the next message: parsed JSON, other text as ``str``, binary as ``bytes``.

        Args:
            timeout: seconds of the app's time to wait for it; on a :class:`TestLoop` they take no real time.

        Raises:
            NothingReceived: none came; the message shows what the connection has received so far.
            Disconnected: none came, and the connection is closed.
        """
        try:
            async with within(timeout):
                while not self._unread and self._closed is None:
                    self._raise_for_app()
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self._world.raise_failure()
            raise NothingReceived(
                f"{self._scope['path']}: nothing was received within {timeout:g} s; the connection is open. Before:"
                f" {_shown(self.received)}"
            ) from None
        if self._unread:
            return self._unread.popleft()
        self._raise_for_app()
        assert self._closed is not None
        raise Disconnected(*self._closed)

    async def call(
        self,
        name: str,
        arguments: Any = None,
        *,
        timeout: float = 10.0,  # noqa: ASYNC109 - it is the app's time
        retry: bool = False,
        returns: Any = None,
    ) -> Any:
        """Ask the app, and wait for its answer; the arguments are those of :meth:`odac.client.ClientConnection.call`.

        Raises:
            CallError: there is no answer, and its ``code`` says why.
            Disconnected: the connection is closed.
        """
        check_call(name, timeout)
        self._raise_for_app()
        if self._closed is not None:
            raise Disconnected(*self._closed)
        if self.subprotocol != PROTOCOL:
            raise CallError("unknown", "calls are part of odac.v1, which this connection does not speak")
        try:
            answer = await self._calls.call(name, arguments, timeout, retry, returns)
        except CallError:
            self._world.raise_failure()
            raise
        await self.settle()
        return answer

    def answer(self, name: str) -> Callable[[H], H]:
        """Let a function answer the app's ``odac.ws.call(name, arguments)``: ``@ws.answer("confirm")``."""
        return self.answerer(name, names_at(1))

    def answerer(self, name: str, names: Mapping[str, Any]) -> Callable[[H], H]:
        """The decorator of :meth:`answer`, where annotations may use these names."""

        def register(function: H) -> H:
            self._calls.add(name, function, names)
            return function

        return register

    @property
    def unread(self) -> list[Any]:
        """The messages that have arrived and were not taken."""
        return list(self._unread)

    async def received_nothing(self) -> bool:
        """Whether, with the app idle, no message waits to be taken; :attr:`unread` has those that do."""
        await self.settle()
        self._raise_for_app()
        return not self._unread

    @property
    def closed(self) -> tuple[int, str] | None:
        """Close code and reason, whichever side closed; None while the connection is open."""
        return self._closed

    @property
    def close_code(self) -> int | None:
        """The close code; None while the connection is open."""
        return None if self._closed is None else self._closed[0]

    @property
    def close_reason(self) -> str | None:
        """The close reason; None while the connection is open."""
        return None if self._closed is None else self._closed[1]

    async def wait_closed(self, timeout: float = TIMEOUT) -> tuple[int, str]:  # noqa: ASYNC109 - it is the app's time
        """Wait until the app has closed the connection.

        Raises:
            AssertionError: it has not, within ``timeout`` seconds of the app's time.
        """
        try:
            async with within(timeout):
                while self._closed is None:
                    self._raise_for_app()
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self._world.raise_failure()
            raise AssertionError(f"{self._scope['path']}: the connection was still open after {timeout:g} s") from None
        self._raise_for_app()
        return self._closed

    async def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close from the client's side; closing twice is no error.

        Raises:
            ValueError: a code that may not be sent, or a reason over 123 bytes.
        """
        check_close(code, reason)
        await self._end(int(code), reason)
        self._raise_for_app()

    async def drop(self, *, after: int = 0) -> None:
        """Vanish without a close frame, as a phone in a tunnel does: the app sees 1006.

        Args:
            after: messages of the app to receive before: the connection is cut in the middle of what the app sends.

        Raises:
            ValueError: ``after`` is negative.
        """
        if after < 0:
            raise ValueError(f"drop(after={after}): must be a number of messages")
        if after == 0:
            await self._end(int(CloseCode.ABNORMAL), "")
            self._raise_for_app()
        else:
            self._drop_after = after

    async def pause_reading(self) -> None:
        """Read nothing more, as a client that is too slow: what the app sends waits at the server, until its limits."""
        self._reading.clear()
        await self.settle()

    async def resume_reading(self) -> None:
        """Read what has piled up, and everything after it."""
        self._reading.set()
        await self.settle()
        self._raise_for_app()

    async def settle(self) -> None:
        """Wait until the app is idle.

        Raises:
            NeverIdle: it does not become idle.
        """
        await settle(lambda: self._world.activity)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end(int(CloseCode.NORMAL if kind is None else CloseCode.GOING_AWAY), "")
        if kind is None:
            self._raise_for_app()

    async def _end(self, code: int, reason: str) -> None:
        if self._closed is None:
            self._disconnect(code, reason)
        await self.settle()

    def leave(self) -> None:
        """Close without waiting, when the test client ends."""
        if self._closed is None:
            self._disconnect(int(CloseCode.GOING_AWAY), "")

    @property
    def over(self) -> bool:
        """Whether the app has finished with it."""
        return self._app is None or self._app.done()

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The app's task for this connection."""
        return self._app

    # Messages to the app

    def _write(self, message: Prepared) -> None:
        if message.is_text:
            self._to_app.put_nowait({"type": "websocket.receive", "text": message.payload.decode()})
        else:
            self._to_app.put_nowait({"type": "websocket.receive", "bytes": message.payload})

    def _disconnect(self, code: int, reason: str) -> None:
        self.positions.closed(code)
        self._closed = (code, reason)
        self._reading.set()
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._calls.finished(code, reason)
        self._changed.set()

    def _raise_for_app(self) -> None:
        """Raise what a handler raised, or the ASGI app itself."""
        self._world.raise_failure()
        if (
            self._app is not None
            and self._app.done()
            and not self._app.cancelled()
            and (error := self._app.exception()) is not None
        ):
            raise error

    # The app's side

    async def _run(self) -> None:
        # In this task's own context, which all code of the app that runs for the connection inherits.
        witness.set(self._world.failures.append if self._raises else None)
        given_user.set(self._user)
        try:
            await self._world.app(self._scope, self._receive, self._take)
        finally:
            if self._accepted and self._closed is None:
                # Servers end the connection of an app that returned; uvicorn gives this reason:
                self._closed = (int(CloseCode.INTERNAL_ERROR), "the app returned without closing")
            self._changed.set()

    async def _receive(self) -> Message:
        self._world.activity += 1
        message = await self._to_app.get()
        self._world.activity += 1
        return message

    async def _take(self, message: Message) -> None:
        self._world.activity += 1
        kind = message["type"]
        if kind == "websocket.accept" and not self._accepted:
            self._accepted = True
            self.subprotocol = message.get("subprotocol")
        elif kind == "websocket.send" and self._accepted:
            while not self._reading.is_set() and self._closed is None:
                await self._reading.wait()
            if self._closed is not None:
                raise ConnectionResetError("the test's client has closed the connection")
            self._arrived(message)
        elif kind == "websocket.close":
            self._app_closed(message)
        elif kind == "websocket.http.response.start" and not self._accepted:
            self._denial = dict(message)
        elif kind == "websocket.http.response.body" and self._denial:
            self._denied(message)
        else:
            raise RuntimeError(f"the app sent {kind!r}, which is not allowed here")
        self._changed.set()

    def _arrived(self, message: Message) -> None:
        before = len(self.received)
        self._read(message)
        if self._drop_after is not None and len(self.received) > before:
            self._drop_after -= 1
            if self._drop_after == 0:
                self._disconnect(int(CloseCode.ABNORMAL), "")

    def _read(self, message: Message) -> None:
        text = message.get("text")
        if text is None:
            self._keep(bytes(message["bytes"]))
            return
        payload = text.encode()
        if self.subprotocol == PROTOCOL:
            if is_control(payload):
                self._controlled(payload)
                return
            payload = unescape(payload)
        try:
            self._keep(codec.decode_text(payload))
        except InvalidMessage:
            self._keep(payload.decode())

    def people(self, room: str) -> list[Person]:
        """The members of a room, as far as the app has sent them to this connection."""
        return self._rosters.people(room)

    @property
    def resumes(self) -> bool:
        """Whether the client says at the handshake that it comes back."""
        return RESUME in self._scope["subprotocols"]

    def _keep(self, data: Any) -> None:
        self.positions.arrived()
        self.received.append(data)
        self._unread.append(data)

    def _controlled(self, payload: bytes) -> None:
        message = decode_control(payload)
        if message is None:
            return
        self.control.append(message)
        change = self._rosters.receive(*message)
        if change is not None:
            self.presence.append(change)
        told = self.positions.control(*message)
        if told is not None:
            self.recoveries.append(told)
        match message:
            case ("hello", [dict() as facts]) if isinstance(identity := facts.get("id"), str):
                self.id = identity
                self._wire.facts = facts
                self._calls.greeted()
                self._calls.opened(self._wire)
            case ("token", [str() as token]):
                self.token = token
            case ("ping", _):
                self._write(PONG)
            case (kind, values):
                self._calls.receive(kind, values)

    def _app_closed(self, message: Message) -> None:
        if not self._accepted:
            self._refusal = HandshakeRefused(403, message.get("reason") or "the app closed instead of accepting")
        elif self._closed is None:
            self._disconnect(message.get("code", int(CloseCode.NORMAL)), message.get("reason") or "")

    def _denied(self, message: Message) -> None:
        self._denial_body += message.get("body", b"")
        if not message.get("more_body", False):
            headers = tuple(
                (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
                for name, value in self._denial.get("headers", ())
            )
            self._refusal = refused(self._denial["status"], self._denial_body, headers)
            self._to_app.put_nowait({"type": "websocket.disconnect", "code": int(CloseCode.ABNORMAL), "reason": ""})


class _Turns:
    """Calls do not wait for messages that the test has not taken."""

    def read_for_answer(self) -> None: ...

    def in_turn(self, begin: Callable[[], None]) -> None:
        begin()


class _Wire:
    """Sends the control messages of calls to the app."""

    speaks_odac = True

    def __init__(self, write: Callable[[Prepared], None]) -> None:
        self.facts: Mapping[str, object] = {}
        self._write = write

    def control(self, message: Prepared) -> bool:
        self._write(message)
        return True


def _shown(messages: Sequence[Any]) -> str:
    if not messages:
        return "nothing at all"
    shown = ", ".join(
        repr(message) if len(repr(message)) <= 200 else f"{repr(message)[:200]}…" for message in messages[-10:]
    )
    return f"{'' if len(messages) <= 10 else f'{len(messages)} messages, the last of them '}[{shown}]"
