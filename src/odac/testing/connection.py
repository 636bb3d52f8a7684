"""One WebSocket connection in process: the test is the client, the app is the server, ASGI is between them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from odac.client.calls import Calls, check_answer, check_call
from odac.client.errors import HandshakeRefused
from odac.client.link import PROTOCOL
from odac.client.presence import Person, PresenceChange, Rosters
from odac.client.recovery import RESUME, Positions, Recover
from odac.close_codes import CloseCode
from odac.errors import CallError, Disconnected, InvalidMessage
from odac.protocol import codec
from odac.protocol.control import PONG, decode_control, is_control, unescape
from odac.protocol.message import Prepared
from odac.routing.annotations import local_names
from odac.testing.exchange import Environment, Login, Message
from odac.testing.loop import settle, within
from odac.testing.server_side import ServerSide
from odac.wire.frames import check_close

__all__ = ["AsyncTestConnection", "NothingReceived"]

H = TypeVar("H", bound=Callable[..., Any])

TIMEOUT: Final = 1.0
"""Seconds of the app's time that :meth:`AsyncTestConnection.receive` waits by default."""


class NothingReceived(AssertionError):
    """No message arrived in time."""


class AsyncTestConnection:
    """A client's end of a connection to the app, made by :meth:`AsyncTestClient.connect`.

    Each call that can make the app do something returns when the app is idle again, so that a test can assert its
    effects at once.

    Attributes:
        received: every message so far, whether the test has received it or not.
        control: every control message so far, as ``(kind, values)``.
        presence: the argument of each event ``presence`` so far, as a client's listener would get it.
        recoveries: the argument of each event ``recover`` so far.
        positions: the client's position in each room with history.
        id: the connection's id, as the app's ``odac.ws.id``; None without odac.v1.
        token: the last token that the app sent for a reconnect.
        own_login: the user of ``user=`` and its session; None for those of the client.
    """

    __test__ = False  # pytest: not a test class

    def __init__(
        self,
        environment: Environment,
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
        self.own_login: Login | None = None
        self._environment = environment
        self._scope = scope
        self._server = ServerSide(
            environment, scope, user=user, raises=raises, on_message=self._on_message, on_close=self._disconnect
        )
        self._drop_after: int | None = None
        self._unread: deque[Any] = deque()
        self._calls = Calls(_NoQueue())
        self._call_sender = _CallSender(self._server.write)

    def __repr__(self) -> str:
        state = "open" if self._server.closed is None else f"closed {self._server.closed}"
        # pytest shows this where an assertion about the connection fails.
        unread = f", unread: {_summary(list(self._unread))}" if self._unread else ""
        return f"<{type(self).__name__} {self._scope['path']} {state}{unread}>"

    # Called by the test

    async def open(self) -> None:
        """Do the handshake."""
        server = self._server
        server.start()
        resume = self.positions.resume()
        self.positions.opened()
        if resume is not None and self.resumes:
            server.write(resume)
        while not server.accepted and server.refusal is None and not server.is_over:
            await server.wait_for_change()
        if server.refusal is not None:
            await self.settle()
            self._environment.raise_failure()
            raise server.refusal
        if not server.accepted:
            server.raise_for_app()
            raise HandshakeRefused(500, "the app returned without answering the handshake")
        await self.settle()
        self._server.raise_for_app()

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
        self._server.raise_for_app()
        if self._server.closed is not None:
            raise Disconnected(*self._server.closed)
        self._server.write((message.escaped or message) if self.subprotocol == PROTOCOL else message)
        await self.settle()
        self._server.raise_for_app()

    async def receive(self, timeout: float = TIMEOUT) -> Any:  # noqa: ASYNC109 - it is the app's time
        """Take the next message: parsed JSON, other text as ``str``, binary as ``bytes``.

        Args:
            timeout: seconds of the app's time to wait for it; on a :class:`TestLoop` they take no real time.

        Raises:
            NothingReceived: none arrived; the error shows the messages that the connection has received so far.
            Disconnected: none arrived, and the connection is closed.
        """
        try:
            async with within(timeout):
                while not self._unread and self._server.closed is None:
                    self._server.raise_for_app()
                    await self._server.wait_for_change()
        except TimeoutError:
            self._environment.raise_failure()
            raise NothingReceived(
                f"{self._scope['path']}: nothing was received within {timeout:g} s; the connection is open. Before:"
                f" {_summary(self.received)}"
            ) from None
        if self._unread:
            return self._unread.popleft()
        self._server.raise_for_app()
        assert self._server.closed is not None
        raise Disconnected(*self._server.closed)

    async def call(
        self,
        name: str,
        arguments: Any = None,
        *,
        timeout: float = 10.0,  # noqa: ASYNC109 - it is the app's time
        retry: bool = False,
        returns: Any = None,
    ) -> Any:
        """Call the app, and wait for its answer; the arguments are those of :meth:`odac.client.ClientConnection.call`.

        Raises:
            CallError: there is no answer, and its ``code`` says why.
            Disconnected: the connection is closed.
        """
        check_call(name, timeout)
        self._server.raise_for_app()
        if self._server.closed is not None:
            raise Disconnected(*self._server.closed)
        if self.subprotocol != PROTOCOL:
            raise CallError("unknown", "calls are part of odac.v1, which this connection does not speak")
        try:
            answer = await self._calls.call(name, arguments, timeout, retry, returns)
        except CallError:
            self._environment.raise_failure()
            raise
        await self.settle()
        return answer

    def answer(self, name: str) -> Callable[[H], H]:
        """Let a function answer the app's ``odac.ws.call(name, arguments)``: ``@ws.answer("confirm")``."""
        return self.answerer(name, local_names(1))

    def answerer(self, name: str, names: Mapping[str, Any]) -> Callable[[H], H]:
        """The decorator of :meth:`answer`, where annotations may use these names."""
        check_answer(name)

        def register(function: H) -> H:
            self._calls.add(name, function, names)
            return function

        return register

    @property
    def unread(self) -> list[Any]:
        """The messages that have arrived and were not received by the test."""
        return list(self._unread)

    async def received_nothing(self) -> bool:
        """Wait until the app is idle, and return whether :attr:`unread` is empty."""
        await self.settle()
        self._server.raise_for_app()
        return not self._unread

    @property
    def closed(self) -> tuple[int, str] | None:
        """Close code and reason, whichever side closed; None while the connection is open."""
        return self._server.closed

    @property
    def close_code(self) -> int | None:
        """The close code; None while the connection is open."""
        return None if self._server.closed is None else self._server.closed[0]

    @property
    def close_reason(self) -> str | None:
        """The close reason; None while the connection is open."""
        return None if self._server.closed is None else self._server.closed[1]

    async def wait_closed(self, timeout: float = TIMEOUT) -> tuple[int, str]:  # noqa: ASYNC109 - it is the app's time
        """Wait until the app has closed the connection.

        Raises:
            AssertionError: it has not, within ``timeout`` seconds of the app's time.
        """
        try:
            async with within(timeout):
                while self._server.closed is None:
                    self._server.raise_for_app()
                    await self._server.wait_for_change()
        except TimeoutError:
            self._environment.raise_failure()
            raise AssertionError(f"{self._scope['path']}: the connection was still open after {timeout:g} s") from None
        self._server.raise_for_app()
        return self._server.closed

    async def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close from the client's side; closing twice is no error.

        Raises:
            ValueError: a code that may not be sent, or a reason over 123 bytes.
        """
        check_close(code, reason)
        await self._end(int(code), reason)
        self._server.raise_for_app()

    async def drop(self, *, after: int = 0) -> None:
        """Lose the connection, without a close frame: the app sees 1006.

        Args:
            after: further messages of the app to receive before that, so that the app is in the middle of sending.

        Raises:
            ValueError: ``after`` is negative.
        """
        if after < 0:
            raise ValueError(f"drop(after={after}): must be a number of messages from 0")
        if after == 0:
            await self._end(int(CloseCode.ABNORMAL), "")
            self._server.raise_for_app()
        else:
            self._drop_after = after

    async def pause_reading(self) -> None:
        """Stop reading, as a client that is too slow: messages wait in the app's buffers, up to their limits."""
        self._server.reading.clear()
        await self.settle()

    async def resume_reading(self) -> None:
        """Read the messages that wait, and those after them."""
        self._server.reading.set()
        await self.settle()
        self._server.raise_for_app()

    async def settle(self) -> None:
        """Wait until the app is idle.

        Raises:
            NeverIdle: it does not become idle.
        """
        await settle(lambda: self._environment.activity)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end(int(CloseCode.NORMAL if kind is None else CloseCode.GOING_AWAY), "")
        if kind is None:
            self._server.raise_for_app()

    async def _end(self, code: int, reason: str) -> None:
        if self._server.closed is None:
            self._disconnect(code, reason)
        await self.settle()

    def leave(self) -> None:
        """Close without waiting, when the test client ends."""
        if self._server.closed is None:
            self._disconnect(int(CloseCode.GOING_AWAY), "")

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the app selected."""
        return self._server.subprotocol

    @property
    def over(self) -> bool:
        """Whether the app has returned."""
        return self._server.is_over

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The app's task for this connection."""
        return self._server.task

    def _disconnect(self, code: int, reason: str) -> None:
        self.positions.closed(code)
        self._server.disconnect(code, reason)
        self._calls.finished(code, reason)

    # From the app

    def _on_message(self, message: Message) -> None:
        before = len(self.received)
        self._read(message)
        if self._drop_after is not None and len(self.received) > before:
            self._drop_after -= 1
            if self._drop_after == 0:
                self._disconnect(int(CloseCode.ABNORMAL), "")

    def _read(self, message: Message) -> None:
        text = message.get("text")
        if text is None:
            self._store(bytes(message["bytes"]))
            return
        payload = text.encode()
        if self.subprotocol == PROTOCOL:
            if is_control(payload):
                self._receive_control(payload)
                return
            payload = unescape(payload)
        try:
            self._store(codec.decode_text(payload))
        except InvalidMessage:
            self._store(payload.decode())

    def people(self, room: str) -> list[Person]:
        """The members of a room, as far as the app has sent them to this connection."""
        return self._rosters.people(room)

    @property
    def resumes(self) -> bool:
        """Whether the client offered ``odac.resume`` at the handshake."""
        return RESUME in self._scope["subprotocols"]

    def _store(self, data: Any) -> None:
        self.positions.arrived()
        self.received.append(data)
        self._unread.append(data)

    def _receive_control(self, payload: bytes) -> None:
        message = decode_control(payload)
        if message is None:
            return
        self.control.append(message)
        change = self._rosters.receive(*message)
        if change is not None:
            self.presence.append(change)
        recovery = self.positions.control(*message)
        if recovery is not None:
            self.recoveries.append(recovery)
        match message:
            case ("hello", [dict() as facts]) if isinstance(identity := facts.get("id"), str):
                self.id = identity
                self._call_sender.facts = facts
                self._calls.hello_received()
                self._calls.opened(self._call_sender)
            case ("token", [str() as token]):
                self.token = token
            case ("ping", _):
                self._server.write(PONG)
            case (kind, values):
                self._calls.receive(kind, values)


class _NoQueue:
    """Calls of the app are answered although the test has not read the messages before them."""

    def read_for_answer(self) -> None: ...

    def in_turn(self, begin: Callable[[], None]) -> None:
        begin()


class _CallSender:
    """Sends the control messages of calls to the app."""

    speaks_odac = True

    def __init__(self, write: Callable[[Prepared], None]) -> None:
        self.facts: Mapping[str, object] = {}
        self._write = write

    def control(self, message: Prepared) -> bool:
        self._write(message)
        return True


def _summary(messages: Sequence[Any]) -> str:
    if not messages:
        return "nothing at all"
    shown = ", ".join(
        repr(message) if len(repr(message)) <= 200 else f"{repr(message)[:200]}…" for message in messages[-10:]
    )
    return f"{'' if len(messages) <= 10 else f'{len(messages)} messages, the last of them '}[{shown}]"
