"""One connection from its upgrade to its end: hello, control messages, liveness."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from odac.client.clock import Clock
from odac.client.socket import Socket
from odac.errors import Disconnected, InvalidMessage
from odac.protocol import codec
from odac.protocol.control import PONG, decode_control, is_control, unescape
from odac.protocol.message import Prepared

__all__ = ["GRACE", "PROTOCOL", "Link"]

PROTOCOL: Final = "odac.v1"
"""The subprotocol that asks for control messages."""

GRACE: Final = 10.0
"""Seconds of silence beyond the ping interval after which a connection counts as lost."""

MOST_EARLY: Final = 16
"""Application messages that may arrive before the hello, from a middleware that sends."""

DEFAULT_PING: Final = 25.0
"""Seconds of silence after which the client pings a server that sends no hello, and so names no interval."""


class Link:
    """Reads and writes the messages of one connection, and holds what the server says about it.

    Args:
        socket: the connection.
        clock: gives the time for liveness.
        on_token: gets each token that the server sends for the next reconnect.
        on_control: gets the kind and the values of every control message that this class does not handle.
        on_message: called for each application message, before it is decoded.

    Attributes:
        facts: the object in the hello.
        id: the connection's id, from the hello.
        ping: the server's ping interval in seconds.
        hello: whether the hello has arrived.
        drain: seconds that the server asked to wait before the client reconnects; None if it did not.
    """

    __slots__ = (
        "_clock",
        "_early",
        "_on_control",
        "_on_message",
        "_on_token",
        "_reading_since",
        "drain",
        "facts",
        "hello",
        "id",
        "ping",
        "socket",
        "speaks_odac",
    )

    def __init__(
        self,
        socket: Socket,
        clock: Clock,
        on_token: Callable[[str], None],
        on_control: Callable[[str, list[object]], None] = lambda kind, values: None,
        on_message: Callable[[], None] = lambda: None,
    ) -> None:
        self.socket = socket
        self.speaks_odac = socket.subprotocol == PROTOCOL
        self.id: str | None = None
        self.ping = DEFAULT_PING
        self.hello = False
        self.drain: float | None = None
        self._clock = clock
        self._on_token = on_token
        self._on_control = on_control
        self._on_message = on_message
        self.facts: dict[str, object] = {}
        self._early: deque[str | bytes] = deque()
        self._reading_since: float | None = None  # None while the client does not wait for the network

    def send(self, message: Prepared) -> bool:
        """Write an application message; False when the connection takes no more."""
        return self.socket.write((message.escaped or message) if self.speaks_odac else message)

    def control(self, message: Prepared) -> bool:
        """Write a control message; False when the connection takes no more."""
        return self.socket.write(message)

    async def wait_for_hello(self) -> None:
        """Wait for the hello of a server that speaks ``odac.v1``; return at once for any other.

        The server sends it after all checks of the handshake, so that no message is sent to a connection that it then
        closes with 4001, 4002 or 4003. Messages that a middleware sent before are kept for :meth:`run`.

        Raises:
            Disconnected: the server closed instead.
            ConnectionError: it sent more than :data:`MOST_EARLY` messages, and no hello.
        """
        while self.speaks_odac and not self.hello:
            message = await self._next()
            if isinstance(message, str) and is_control(payload := message.encode()):
                self._control(payload)
            elif len(self._early) < MOST_EARLY:
                self._early.append(message)
            else:
                raise ConnectionError(
                    f"the server selected odac.v1 and sent {MOST_EARLY + 1} messages, but no hello: is it an Odac app?"
                )

    async def run(
        self, deliver: Callable[[object], Awaitable[None]], failed: Callable[[Exception], None]
    ) -> Disconnected:
        """Read until the connection ends, and return its close code and reason.

        Args:
            deliver: gets each application message, decoded; nothing more is read until it has returned.
            failed: gets the error of a message that cannot be decoded.
        """
        while True:
            try:
                message = self._early.popleft() if self._early else await self._next()
            except Disconnected as end:
                return end
            if isinstance(message, bytes):
                self._on_message()
                await deliver(message)
                continue
            payload = message.encode()
            if self.speaks_odac:
                if is_control(payload):
                    self._control(payload)
                    continue
                payload = unescape(payload)
            self._on_message()
            try:
                data = codec.decode_text(payload)
            except InvalidMessage as error:
                failed(error)
                continue
            await deliver(data)

    async def _next(self) -> str | bytes:
        self._reading_since = self._clock.now()
        try:
            return await self.socket.receive()
        finally:
            self._reading_since = None

    def _control(self, payload: bytes) -> None:
        message = decode_control(payload)
        if message is None:
            return
        match message:
            case ("hello", [dict() as facts]):
                self._read_hello(facts)
            case ("ping", _):
                self.socket.write(PONG)
            case ("token", [str() as token]):
                self._on_token(token)
            case ("drain", [int() | float() as milliseconds]) if (
                not isinstance(milliseconds, bool) and milliseconds >= 0
            ):
                self.drain = milliseconds / 1000
            case (kind, values):
                self._on_control(kind, values)

    def _read_hello(self, facts: dict[str, object]) -> None:
        self.hello = True
        self.facts = facts
        identity, ping = facts.get("id"), facts.get("ping")
        if isinstance(identity, str):
            self.id = identity
        if isinstance(ping, (int, float)) and not isinstance(ping, bool) and 0 < ping < 86_400:
            self.ping = float(ping)

    async def watch(self) -> None:
        """Drop the connection when nothing has arrived for the ping interval and :data:`GRACE` more; return then.

        The time counts only while the client reads from the network: while it waits for a slow listener, the server may
        have sent something.
        """
        probed = False
        while True:
            now = self._clock.now()
            since = max(self.socket.last_received, self._reading_since if self._reading_since is not None else now)
            silence = now - since
            if silence >= self.ping + GRACE:
                self.socket.abort()
                return
            if silence < self.ping:
                probed = False
            elif not self.hello and not probed:
                probed = True
                self.socket.probe()
            await self._clock.sleep((self.ping if silence < self.ping else self.ping + GRACE) - silence)
