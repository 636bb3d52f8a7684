"""One WebSocket connection: what a handler knows as ``odac.ws``."""

from __future__ import annotations

from _thread import get_ident
from collections.abc import AsyncIterator, Callable
from enum import IntEnum
from os import urandom
from time import monotonic
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from odac.close_codes import CloseCode
from odac.config import RateLimit
from odac.errors import ProtocolError
from odac.notices import limit_met, warn
from odac.protocol import control
from odac.protocol.codec import encode, encode_binary
from odac.protocol.message import Prepared
from odac.realtime.audience import EVERYONE, Audience, check_room, is_private
from odac.realtime.cancellation import RAISED
from odac.realtime.generics import In, Out, Typed
from odac.realtime.identity import new_id
from odac.realtime.iteration import Messages
from odac.realtime.lifetime import Lifetime
from odac.realtime.listeners import Event, Handler, OnClose, OnError, OnInvalid, OnMessage, OnPong
from odac.realtime.outbox import SENT, Lane, Sent
from odac.realtime.ping import Ping
from odac.wire.frames import PING, check_close

if TYPE_CHECKING:
    from odac.realtime.hub import Hub
    from odac.realtime.policy import Policy
    from odac.realtime.targets import Target

__all__ = ["Connection", "ReadyState"]

_PINGS: Final = 100
"""Pings under way of one connection; further ones share the last, so that a peer that never answers costs no memory."""


class ReadyState(IntEnum):
    """Where a connection stands; the numbers are those of the browser's WebSocket (WHATWG WebSockets Standard, section 3.1)."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


class Connection(Lifetime, Typed[In, Out]):
    """One connection, from its upgrade to its end.

    A handler gets it as ``odac.ws``. Sending and closing work from any thread, in the order of each thread's calls; all
    else belongs to the event loop's.
    """

    __slots__ = ("_data", "_pings", "alive", "due", "id", "on_release", "opened_at", "session_id")

    def __init__(self, hub: Hub, lane: Lane, policy: Policy, *, v1: bool = False) -> None:
        super().__init__(hub, lane, policy, v1)
        self.id = new_id()
        self.alive = True
        self.due = 0.0
        self.opened_at = monotonic()  # an order to close its user is for connections that were open before
        self.on_release: Callable[[], None] | None = None
        self.session_id: str | None = None  # of the session whose token let it in
        self._data: SimpleNamespace | None = None
        self._pings: dict[bytes, Ping] | None = None

    # Sending

    def send(self, data: Out) -> Sent:
        """Send a message to this connection.

        Args:
            data: dict, list, number, bool, None (or anything else that JSON can hold): JSON text. ``str``: text as it
                is. A bytes-like object: binary.

        Returns:
            An object that need not be awaited; awaiting it waits until the peer's buffer has room.

        Raises:
            TypeError: ``data`` cannot be encoded. The connection is unharmed.
        """
        message = encode(data)
        if get_ident() != self.delivery.thread:
            return self._from_elsewhere(self.send_prepared, message)
        if not self.is_open:
            return SENT
        if message.escaped is not None:
            message = self._variant(message)
        return self.put(message)

    def send_binary(self, data: Any) -> Sent:
        """Send any bytes-like object as a binary message.

        Raises:
            TypeError: ``data`` has no buffer.
        """
        message = encode_binary(data)
        if get_ident() != self.delivery.thread:
            return self._from_elsewhere(self.send_prepared, message)
        return self.put(message) if self.is_open else SENT

    def send_prepared(self, message: Prepared) -> None:
        """Send what is encoded already, on the event loop's thread."""
        if self.is_open:
            self.put(self._variant(message))

    def _from_elsewhere(self, call: Callable[..., object], *arguments: object) -> Sent:
        """Do something on the event loop's thread, soon; with a loop that has ended, the connection has as well."""
        try:
            self.delivery.loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            pass
        return SENT

    def _belongs_here(self, name: str) -> None:
        if get_ident() != self.delivery.thread:
            raise RuntimeError(
                f"{name}() belongs to the event loop's thread: from another, loop.call_soon_threadsafe(odac.ws.{name}, …)"
            )

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close the connection, after everything that was sent so far. Closing twice is no error.

        Args:
            code: a code that may stand in a close frame (RFC 6455 section 7.4).
            reason: at most 123 UTF-8 bytes.

        Raises:
            ValueError: the code may not be sent, or the reason is too long.
        """
        check_close(code, reason)
        if get_ident() != self.delivery.thread:
            self._from_elsewhere(self.end, code, reason)
        elif self.delivery.is_writing:
            self.delivery.later(self.end, code, reason)
        else:
            self.end(code, reason)

    def ping(self) -> Ping:
        """Send a ping (RFC 6455 section 5.5.2).

        Returns:
            An object that need not be awaited; awaiting it gives the round trip in seconds, or raises
            :class:`Disconnected` when the connection ends before the pong. Over plain ASGI, which has no pings, a
            client that speaks ``odac.v1`` is asked by a control message, and any other is never answered for.
        """
        self._belongs_here("ping")
        payload = urandom(4)
        ping = Ping(self, payload)
        if not self.is_open:
            ping.fail(*(self._ended or (CloseCode.NORMAL, "")))
            return ping
        if self._pings is None:
            self._pings = {}
        if len(self._pings) >= _PINGS:
            return self._pings[next(reversed(self._pings))]
        if self.lane.pings:
            self._pings[payload] = ping
            self.put(Prepared(PING, payload))
        elif self.v1:
            self._pings[payload] = ping
            self.put(control.PING)
        else:
            ping = self._pings.setdefault(b"", ping)  # one for all that wait for the end
        return ping

    # Rooms

    def join(self, room: str) -> None:
        """Join a room, with effect on the next message that this process sends.

        Raises:
            TypeError: the name is not a str.
            ValueError: the name is empty, holds a control character, is over 200 UTF-8 bytes, or the connection is in
                ``Limits.rooms_per_connection`` rooms already.
        """
        check_room(room)
        self._belongs_here("join")
        if self.delivery.is_writing:
            self.delivery.later(self.join, room)
        elif self.is_open and room not in self.memberships:
            limit = self.policy.limits.rooms_per_connection
            if len(self.memberships) >= limit and len(self.rooms) >= limit:
                limit_met(
                    "rooms_per_connection",
                    "%s: a connection was to join more than %d rooms (Limits.rooms_per_connection)",
                    self.policy.name,
                    limit,
                )
                raise ValueError(
                    f"the connection is in {limit} rooms, which is the most: leave one, or raise Limits.rooms_per_connection"
                )
            self._hub.enter(self, room)

    def leave(self, room: str) -> None:
        """Leave a room; leaving one that was not joined is no error."""
        check_room(room)
        self._belongs_here("leave")
        if self.delivery.is_writing:
            self.delivery.later(self.leave, room)
        elif room in self.memberships:
            self._hub.depart(self, room)

    def to(self, *rooms: str) -> Target:
        """Everyone in any of the rooms, once each: ``odac.ws.to("a", "b").send(data)``.

        Raises:
            ValueError: no room is named, or a name is not allowed.
        """
        return self._hub.to(*rooms)

    def broadcast(self, data: object, include_self: bool = True) -> Sent:
        """Send to all clients.

        Args:
            data: as for :meth:`send`.
            include_self: with False, this connection is left out.

        Returns:
            An object that need not be awaited; awaiting it waits for nobody.

        Raises:
            TypeError: ``data`` cannot be encoded.
        """
        audience = EVERYONE if include_self else Audience(excluded=frozenset((self.id,)))
        return self._hub.send(audience, encode(data))

    # Receiving

    @overload
    def on(self, event: Literal["message"], handler: OnMessage) -> OnMessage: ...
    @overload
    def on(self, event: Literal["invalid"], handler: OnInvalid) -> OnInvalid: ...
    @overload
    def on(self, event: Literal["close"], handler: OnClose) -> OnClose: ...
    @overload
    def on(self, event: Literal["error"], handler: OnError) -> OnError: ...
    @overload
    def on(self, event: Literal["pong"], handler: OnPong) -> OnPong: ...
    @overload
    def on(self, event: Literal["message"]) -> Callable[[OnMessage], OnMessage]: ...
    @overload
    def on(self, event: Literal["invalid"]) -> Callable[[OnInvalid], OnInvalid]: ...
    @overload
    def on(self, event: Literal["close"]) -> Callable[[OnClose], OnClose]: ...
    @overload
    def on(self, event: Literal["error"]) -> Callable[[OnError], OnError]: ...
    @overload
    def on(self, event: Literal["pong"]) -> Callable[[OnPong], OnPong]: ...
    def on(self, event: Event, handler: Handler | None = None) -> Any:
        """Add a listener: ``on("message", handler)``, or ``@odac.ws.on("message")`` above a function.

        Args:
            event: ``message`` (data), ``invalid`` (an :class:`odac.InvalidMessage`, which names the field), ``close``
                (code, reason), ``error`` (exception) or ``pong``.
            handler: takes the event's arguments or fewer, and may be ``async``.

        Raises:
            ValueError: there is no such event.
            TypeError: the handler is not callable, or needs more arguments than the event gives.
        """
        if handler is None:

            def register(function: Handler) -> Handler:
                self.on(event, function)
                return function

            return register
        self._belongs_here("on")
        self.inbox.on(event, handler)
        return handler

    def off(self, event: Event, handler: Handler | None = None) -> None:
        """Remove a listener, or with no handler all of that event.

        Raises:
            ValueError: there is no such event.
        """
        self._belongs_here("off")
        self.inbox.off(event, handler)

    async def receive(self) -> In:
        """The next message.

        Raises:
            Disconnected: the connection has ended, and all its messages were taken.
        """
        message: In = await self.inbox.receive()
        return message

    def __aiter__(self) -> AsyncIterator[In]:
        return Messages(self.inbox.receive)

    # Properties

    @property
    def rooms(self) -> list[str]:
        """The rooms that this connection is in, in the order of joining; from any thread."""
        memberships = list(self.memberships)  # in one step: meanwhile the event loop's thread may join and leave
        return [room for room in memberships if not is_private(room)]

    @property
    def data(self) -> SimpleNamespace:
        """A namespace for the application: ``odac.ws.data.user_id = 7``."""
        if self._data is None:
            self._data = SimpleNamespace()
        return self._data

    @property
    def ready_state(self) -> ReadyState:
        """Where the connection stands. A handler only ever sees OPEN, CLOSING and CLOSED."""
        if self._ended is not None:
            return ReadyState.CLOSED
        return ReadyState.OPEN if self.is_open else ReadyState.CLOSING

    def __repr__(self) -> str:
        return f"<Connection {self.id} {self.policy.name} {self.ready_state.name}>"

    # For the lanes

    def receive_text(self, payload: bytes) -> None:
        """A text message has arrived.

        Args:
            payload: its bytes, known to be UTF-8.
        """
        if self.v1 and payload[:1] == b"\x1e":
            if payload[:2] != b"\x1e\x1e":
                self._receive_control(payload)
                return
            payload = payload[1:]
        inbox = self.inbox
        quick = inbox.quick
        if quick is None:
            inbox.hold(payload, self.policy.decode)
            return
        try:
            data = self.policy.decode(payload)
        except RAISED as error:
            inbox.undecodable(error)
            return
        try:
            result = quick(data)
        except RAISED as error:
            inbox.failed(error)
            return
        if result is not None and result is not SENT:
            inbox.follow(result, data)

    def receive_pong(self, payload: bytes) -> None:
        """A pong has arrived (RFC 6455 section 5.5.3)."""
        pings = self._pings
        if pings is not None and payload in pings:
            # It answers those before it as well: a peer may leave out all but the last (RFC 6455 section 5.5.3).
            for asked in list(pings):
                pings.pop(asked).succeed()
                if asked == payload:
                    break
        self.inbox.emit("pong")

    def _receive_control(self, payload: bytes) -> None:
        message = control.decode_control(payload)
        if message is None or not self.is_open:
            return
        if message[0] == "ping":
            self.put(control.PONG)
        elif message[0] == "pong":
            self.receive_pong(next(iter(self._pings), b"") if self._pings else b"")
        else:
            handler = self._hub.control_handlers.get(message[0])
            if handler is not None:
                handler(self, message[1])

    def end(self, code: int, reason: str) -> bool:
        """Close the connection, in the way of :meth:`close`, without checking the arguments."""
        ended = super().end(code, reason)
        if ended:
            self._hub.remove(self)
        return ended

    def limited(self, rate: RateLimit) -> None:
        """The peer sends faster than the route allows."""
        limit_met(
            "rate_limit",
            "%s: a client sent more than %d messages in %g s and was closed with 1008 (Limits.rate_limit, or rate_limit= of the route)",
            self.policy.name,
            rate.max,
            rate.window,
        )
        self.end(CloseCode.POLICY_VIOLATION, "Rate limit exceeded")

    def too_big(self, size: int) -> None:
        """The peer sent a message that is larger than the route allows, where no frame's header showed it before."""
        limit = self.policy.limits.max_payload
        reason = f"message of {size} bytes: at most {limit} (max_payload)"
        self.broken(ProtocolError(CloseCode.MESSAGE_TOO_BIG, reason, "max_payload"))

    def unanswered(self) -> None:
        """The peer did not take part in the closing handshake."""
        limit_met(
            "close_timeout",
            "%s: a client did not close within %g s and was cut off (Limits.close_timeout)",
            self.policy.name,
            self.policy.limits.close_timeout,
        )

    def broken(self, error: ProtocolError) -> None:
        """The peer broke the protocol or a limit of it."""
        if not self.end(error.code, error.reason):
            return  # what else it sends while it is being closed is no news
        if error.limit is None:
            warn("protocol", "%s: a client was closed with %s", self.policy.name, error)
        else:
            limit_met(error.limit, "%s: a client was closed with %s", self.policy.name, error)

    def drain(self) -> None:
        """The server stops: all its connections are closed with 1001, each in its turn."""
        self._hub.drain([self])

    def lost(self, code: int, reason: str) -> None:
        """The transport is gone, or the closing handshake is through: nothing more comes and nothing more goes.

        Args:
            code: what the close listeners are told.
            reason: the same.
        """
        if self._ended is not None:
            return
        self._ended = (code, reason)
        if self.is_open:
            self.is_open = False
            self._hub.remove(self)
        self.fd = -1
        self.discard()
        for ping in (self._pings or {}).values():
            ping.fail(code, reason)
        self._pings = None
        self._hub.population -= 1
        if self.on_release is not None:
            self.on_release()
        if self.admitted:
            for observer in self._hub.observers:
                observer.ended(self, code, reason)
        self.inbox.finish(code, reason)
