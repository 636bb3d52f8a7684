"""One WebSocket connection: ``odac.ws`` in a handler."""

from __future__ import annotations

import asyncio
from _thread import get_ident
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextvars import Context as ContextOfVariables
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, overload

from odac.close_codes import CloseCode
from odac.errors import CallError, Disconnected, ProtocolError
from odac.protocol import control
from odac.protocol.codec import encode, encode_binary
from odac.protocol.message import Prepared
from odac.realtime import client_faults, membership
from odac.realtime.audience import EVERYONE, Audience, check_room, is_private
from odac.realtime.cancellation import cancel_overdue
from odac.realtime.events import Events, check_event
from odac.realtime.extras import Extras
from odac.realtime.generics import In, Out, Typed
from odac.realtime.identity import new_id
from odac.realtime.inbox import Inbox
from odac.realtime.iteration import Messages
from odac.realtime.listeners import (
    Event,
    Handler,
    OnClose,
    OnError,
    OnInvalid,
    OnMessage,
    OnPong,
    Registered,
    listeners_of,
)
from odac.realtime.loop_thread import wrong_thread
from odac.realtime.opened import time_opened
from odac.realtime.outbox import Outbox
from odac.realtime.ownership import Owned
from odac.realtime.phase import ADMITTED, CLOSED, CLOSING, END_REPORTED, HANDLER, OPEN, Phase, ReadyState
from odac.realtime.ping import Ping, Pings
from odac.realtime.receipts import Joined
from odac.realtime.released import NO_LANE, Released
from odac.realtime.sent import SENT, Sent
from odac.realtime.targets import Target
from odac.wire.frames import check_close

if TYPE_CHECKING:
    from odac.config import RateLimit
    from odac.realtime.delivery import Delivery
    from odac.realtime.internal_ports import Entry, HubOfConnection
    from odac.realtime.policy import Policy
    from odac.realtime.ports import CallsPort, Lane

__all__ = ["Connection", "ReadyState"]

_NO_ROOMS: Final[Mapping[str, None]] = {}
"""Shared by all connections that are in no room; a connection that joins a room gets its own dict."""


class Connection(Typed[In, Out]):
    """One connection, from its upgrade to its end.

    A handler gets it as ``odac.ws``. Sending and closing work from any thread, in the order of each thread's calls;
    everything else must be called on the event loop's thread.

    It consists of ``outbox`` (messages to the peer), ``inbox`` (messages from the peer to the application) and
    ``events`` (calls its listeners). ``phase`` is its state. :meth:`begin_close` starts every close; :meth:`close` (by
    the application) and :meth:`fail` (the peer broke a rule) call it. :meth:`lost` follows at the end, :meth:`closed`
    then notifies the application, and :meth:`release` comes last.
    """

    __slots__ = (
        "_extras",
        "context",
        "due",
        "fd",
        "flags",
        "handler",
        "id",
        "inbox",
        "listeners",
        "memberships",
        "opened_at",
        "outbox",
        "phase",
        "policy",
        "session_id",
        "speaks_odac",
    )

    def __init__(self, hub: HubOfConnection, lane: Lane, policy: Policy, *, speaks_odac: bool = False) -> None:
        self.id = new_id()
        self.phase = Phase.ADMITTING
        self.policy = policy
        self.speaks_odac = speaks_odac  # the subprotocol odac.v1
        self.fd = -1  # the socket while the delivery may write to it directly, else -1; see Outbox
        self.outbox = Outbox(self, hub.delivery, lane)
        self.inbox = Inbox(self)
        self.listeners: Registered = ()
        self.memberships: Mapping[str, None] = _NO_ROOMS
        self.flags = HANDLER
        self.opened_at = time_opened()  # an order to close a user's connections concerns those that were open before it
        self.due: float | None = None  # when the answer to a ping is due; None once anything has arrived since
        self.session_id: str | None = None  # the session of the token that it was admitted with
        self.handler: asyncio.Task[Any] | None = None
        self._extras: Extras | None = None
        self.context: ContextOfVariables | None = None  # None until the application sets a variable in it

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
        outbox = self.outbox
        if get_ident() != outbox.delivery.thread:
            return self._from_elsewhere(self.send_prepared, message)
        if self.phase is not OPEN and self.phase >= CLOSING:
            return SENT
        if message.escaped is not None:
            message = outbox.variant(message)
        return outbox.put(message)

    def send_binary(self, data: Any) -> Sent:
        """Send any bytes-like object as a binary message.

        Raises:
            TypeError: ``data`` has no buffer.
        """
        message = encode_binary(data)
        if get_ident() != self.delivery.thread:
            return self._from_elsewhere(self.send_prepared, message)
        return self.put(message)

    def send_prepared(self, message: Prepared) -> None:
        """Send an encoded message, on the event loop's thread."""
        self.put(self.outbox.variant(message))

    def put(self, message: Prepared) -> Sent:
        """Send an encoded message unchanged, such as a control message, on the event loop's thread."""
        return self.outbox.put(message) if self.phase is OPEN or self.phase < CLOSING else SENT

    def _from_elsewhere(self, call: Callable[..., object], *arguments: object) -> Sent:
        """Schedule a call on the event loop's thread; if the loop has ended, the connection has ended too."""
        try:
            self.loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            pass
        return SENT

    def check_thread(self, call: str) -> None:
        """Raise RuntimeError unless the event loop's thread calls.

        Args:
            call: what the application calls, such as ``odac.ws.join``.
        """
        if get_ident() != self.outbox.delivery.thread:
            raise wrong_thread(call)

    def ping(self) -> Ping:
        """Send a ping (RFC 6455 section 5.5.2).

        Returns:
            An object that need not be awaited; awaiting it gives the round trip in seconds, or raises
            :class:`Disconnected` when the connection ends before the pong. Over plain ASGI, which has no pings, a
            client that speaks ``odac.v1`` gets a control message instead; with any other client, the result is not
            known until the connection ends.
        """
        self.check_thread("odac.ws.ping")
        if self.phase >= CLOSING:
            ping = Ping(self.loop)
            ping.fail(*self._ends_with)
            return ping
        extras = self.extend()
        if extras.pings is None:
            extras.pings = Pings(self.loop)
        return extras.pings.send(self)

    async def call(
        self,
        name: str,
        arguments: object = None,
        *,
        timeout: float = 10.0,  # noqa: ASYNC109 - part of the contract
        returns: Any = None,
    ) -> Any:
        """Ask the client, and wait for its answer: ``await odac.ws.call("confirm", {"text": "Sure?"}, timeout=5)``.

        Args:
            name: the name that the client has registered with ``ws.answer(name, …)``.
            arguments: anything that JSON can hold.
            timeout: seconds until the call fails, including the time until it is sent.
            returns: the type to validate the answer against and convert it to; None for plain JSON.

        Raises:
            CallError: there is no answer. Its ``code`` is ``unknown``, ``timeout``, ``busy`` or one of the client's
                own.
            Disconnected: the connection has ended. Whether the client has handled the call is not known.
            InvalidMessage: the answer is not of the type ``returns``.
            TypeError: ``arguments`` cannot be sent.
            ValueError: ``timeout`` is not a number of seconds above 0, at most a day.
        """
        self.check_thread("odac.ws.call")
        if not isinstance(name, str) or not isinstance(timeout, (int, float)) or not 0 < timeout <= 86_400:
            raise ValueError(
                f"call({name!r}, timeout={timeout!r}): a name is a str, a timeout is in seconds, at most a day"
            )
        if self.phase >= CLOSING:
            raise Disconnected(*self._ends_with)
        if not self.speaks_odac or self._hub.calls_of is None:
            raise CallError("unknown", "the client does not speak odac.v1, which calls need")
        calls = self.calls
        if calls is None:
            calls = self.calls = self._hub.calls_of(self)
        return await calls.call(name, arguments, timeout, returns)

    # Rooms

    def join(self, room: str, replay: int = 0, *, presence: Any = None) -> Joined:
        """Join a room; this takes effect for the next message that this process sends.

        Args:
            room: its name.
            replay: how many of the last messages to get first, in a room with history. A client that reconnects gets
                all messages that it missed instead, if they are still kept.
            presence: data about the person for the other members, at most 1,024 bytes of JSON. Unless it is None, the
                person is listed in the room, and the connection gets the list. Joining again changes the data.

        Returns:
            An object that need not be awaited; awaiting it gives a :class:`odac.Recovery` once the connection has
            caught up with the room's history; in a room without history, at once.

        Raises:
            TypeError: the name is not a str, or ``presence`` cannot be encoded.
            ValueError: the name is empty, contains a control character or is over 200 UTF-8 bytes; or the connection
                is in ``Limits.rooms_per_connection`` rooms already; or ``replay`` is given for a room without history,
                or is not from 0 to 1,000; or ``presence`` is given for a room without presence, or is too large.
        """
        check_room(room)
        self.check_thread("odac.ws.join")
        return membership.join(self, self._hub, room, replay, presence)

    def leave(self, room: str) -> None:
        """Leave a room; leaving one that was not joined is no error."""
        check_room(room)
        self.check_thread("odac.ws.leave")
        membership.leave(self, self._hub, room)

    def to(self, *rooms: str) -> Target:
        """Everyone in any of the rooms, once each: ``odac.ws.to("a", "b").send(data)``.

        Raises:
            ValueError: no room is named, or a name is not allowed.
        """
        return Target(self._hub, Audience.of(*rooms))

    def broadcast(self, data: object, include_self: bool = True) -> Sent:
        """Send to all clients.

        Args:
            data: as for :meth:`send`.
            include_self: with False, this connection is left out.

        Returns:
            An object that need not be awaited; awaiting it does not wait for readers.

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
            check_event(event)
            return lambda function: self.on(event, function)
        if get_ident() != self.outbox.delivery.thread:
            self.check_thread("odac.ws.on")
        if event == "message":
            self.inbox.check_no_reader()
        Events(self).on(event, handler)
        if event == "message":
            self.inbox.listeners_changed()
        if self.phase is Phase.RELEASED and self.handler is None and event != "close":
            self.loop.call_soon(self.drop)  # nothing but a close listener that was added now can still call it
        return handler

    def off(self, event: Event, handler: Handler | None = None) -> None:
        """Remove a listener, or with no handler all of that event.

        Raises:
            ValueError: there is no such event.
        """
        self.check_thread("odac.ws.off")
        Events(self).off(event, handler)
        if event == "message":
            self.inbox.listeners_changed()

    async def receive(self) -> In:
        """The next message.

        Raises:
            Disconnected: the connection has ended, and all its messages have been received.
        """
        message: In = await self.inbox.receive()
        return message

    def __aiter__(self) -> AsyncIterator[In]:
        return Messages(self.inbox.receive)

    def __iter__(self) -> NoReturn:
        raise TypeError("use async for: write async for message in odac.ws, in an async def handler")

    # Properties

    @property
    def rooms(self) -> list[str]:
        """The rooms that this connection is in, in the order of joining; from any thread."""
        memberships = list(self.memberships)  # in one step: meanwhile the event loop's thread may join and leave
        return [room for room in memberships if not is_private(room)]

    @property
    def data(self) -> SimpleNamespace:
        """A namespace for the application: ``odac.ws.data.user_id = 7``."""
        extras = self.extend()
        if extras.data is None:
            extras.data = SimpleNamespace()
        return extras.data

    def extend(self) -> Extras:
        """The state that only some connections need; made by the first call."""
        if self._extras is None:
            self._extras = Extras()
        return self._extras

    @property
    def calls(self) -> CallsPort | None:
        """Its calls; None until the handler makes one, unless the route answers calls."""
        return self._extras.calls if self._extras is not None else None

    @calls.setter
    def calls(self, calls: CallsPort | None) -> None:
        self.extend().calls = calls

    @property
    def untracked(self) -> tuple[object, ...] | None:
        """Objects of its handshake that are left out of garbage collections with it."""
        return self._extras.untracked if self._extras is not None else None

    @property
    def ended(self) -> tuple[int, str] | None:
        """Code and reason, once the connection has ended."""
        return self._extras.ended if self._extras is not None else None

    @property
    def _ends_with(self) -> tuple[int, str]:
        """Code and reason of a connection that has ended, or with which this side closes it."""
        assert self._extras is not None
        outcome = self._extras.ended or self._extras.closing
        assert outcome is not None
        return outcome

    def call_on_release(self, function: Callable[[int], None]) -> None:
        """Call this with the close code when the transport has ended, besides what is called already."""
        extras = self.extend()
        before = extras.on_release
        extras.on_release = function if before is None else _both(function, before)

    @property
    def ready_state(self) -> ReadyState:
        """The connection's state. A handler only ever sees OPEN, CLOSING and CLOSED."""
        if self.phase >= CLOSED:
            return ReadyState.CLOSED
        return ReadyState.OPEN if self.phase < CLOSING else ReadyState.CLOSING

    def __repr__(self) -> str:
        return f"<Connection {self.id} {self.policy.path} {self.ready_state.name}>"

    @property
    def is_open(self) -> bool:
        """Whether messages can still be sent to the connection."""
        return self.phase < CLOSING

    @property
    def _hub(self) -> HubOfConnection:
        return self.outbox.delivery.hub

    @property
    def delivery(self) -> Delivery[Any]:
        """The delivery of its event loop."""
        return self.outbox.delivery  # type: ignore[return-value]

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Its event loop."""
        return self.delivery.loop

    @property
    def lane(self) -> Lane:
        """The lane that sends and receives its frames."""
        return self.outbox.lane

    @property
    def events(self) -> Events:
        """Calls its listeners."""
        return Events(self)

    def is_in(self, entry: Entry) -> bool:
        """Whether a room message is for this connection."""
        rooms, also_in, _, _ = entry
        mine = self.memberships
        for room in rooms:
            if room in mine:
                break
        else:
            if rooms or self.phase is not Phase.OPEN:
                return False
        return not also_in or all(room in mine for room in also_in)

    # For the lanes

    def receive_pong(self, payload: bytes) -> None:
        """A pong has arrived (RFC 6455 section 5.5.3)."""
        pings = self._extras.pings if self._extras is not None else None
        if pings is not None:
            pings.receive(payload)
        self.events.emit("pong")

    def receive_control(self, payload: bytes) -> None:
        """A control message of an ``odac.v1`` peer has arrived."""
        message = control.decode_control(payload)
        if message is None or self.phase >= CLOSING:
            return
        kind, values = message
        if kind == "ping":
            self.put(control.PONG)
        elif kind == "pong":
            pings = self._extras.pings if self._extras is not None else None
            self.receive_pong(pings.oldest if pings is not None else b"")
        else:
            handler = self._hub.control_handlers.get(kind)
            if handler is not None:
                handler(self, values)

    def unreceived(self) -> None:
        """The peer sent a message that neither a listener nor the handler can receive any more."""
        self.delivery.unreceived(self.policy, has_calls=self.calls is not None)

    # Calling the application, and the connection's timers and tasks

    def run(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function that leads to code of the application in this connection's own :mod:`contextvars` context.

        The caller may be a timer or a flush that another connection caused. A connection gets a context of its own when
        something is set in it; until then connections share the delivery's spare one.

        Args:
            function: called at once.
            arguments: its arguments.
        """
        context = self.context
        is_spare = context is None
        if context is None:
            context = self.outbox.delivery.spare
        try:
            context.run(function, *arguments)
        except RuntimeError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            function(*arguments)  # code of this connection is running, so its context is entered already
        finally:
            if is_spare and context:  # something was set in it: it is this connection's now
                self.outbox.delivery.spare = ContextOfVariables()
                if self.context is None and self.phase is not Phase.RELEASED:
                    self.context = context

    @property
    def owned(self) -> Owned:
        """Timers and tasks of this connection."""
        extras = self.extend()
        owned = extras.owned
        if owned is None:
            owned = Owned(self.loop, self.run, self.events.failed, self.inbox.reconsider)
            if self.phase >= CLOSED:
                owned.cancel()
            if self.phase is not Phase.RELEASED:  # else it would refer to the connection, and the connection to it
                extras.owned = owned
        return owned

    @property
    def has_tasks(self) -> bool:
        """Whether a running task of this connection may still receive messages."""
        owned = self._extras.owned if self._extras is not None else None
        return owned is not None and owned.has_tasks

    def own(self, coroutine: Coroutine[Any, Any, object]) -> asyncio.Task[Any]:
        """Run a coroutine as a task that is cancelled when the connection ends."""
        return self.owned.create_task(coroutine)

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a reference to a task that belongs to the connection's end, until the task ends."""
        self._hub.keep(task)

    def own_to_the_end(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine as a task that the connection's end does not cancel, such as a close listener."""
        task = self.loop.create_task(coroutine)
        self._hub.keep(task)
        return task

    # The end

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
            self._from_elsewhere(self.begin_close, code, reason)
        elif self.delivery.is_writing:
            self.delivery.later(self.begin_close, code, reason)
        else:
            self.begin_close(code, reason)

    def begin_close(self, code: int, reason: str) -> bool:
        """Send a close frame after everything that was sent so far; later messages are dropped.

        Args:
            code: as for :meth:`close`, or 1005 to answer a close frame without a code; not checked.
            reason: cut to the 123 bytes that fit in a close frame.

        Returns:
            whether this call began the close. Writing the messages before it may exceed a slow reader's limit, which
            closes the connection first.
        """
        if self.phase < CLOSING:
            self.outbox.write_all()
        if self.phase >= CLOSING:
            return False
        self.phase = Phase.CLOSING
        self.extend().closing = (int(code), reason)
        self.outbox.close(code, reason)
        self._hub.remove(self)
        return True

    def fail(self, error: ProtocolError) -> None:
        """The peer broke the protocol or a limit of it: close with the error's code (RFC 6455 section 7.1.7)."""
        if not self.begin_close(error.code, error.reason):
            return  # further faults of the peer while the connection closes are not logged
        client_faults.closed_with(self.policy, error)

    def exceed_rate(self, limit: RateLimit) -> None:
        """The peer sends faster than the route allows: close with 1008."""
        client_faults.too_fast(self.policy, limit)
        self.begin_close(CloseCode.POLICY_VIOLATION, "Rate limit exceeded")

    def drain(self) -> None:
        """The server stops: close this connection with 1001 in its turn (see :class:`Drain`)."""
        self._hub.drain([self])

    def lost(self, code: int, reason: str) -> None:
        """The transport has ended, or the closing handshake is complete: no more data is sent or received.

        Args:
            code: the close code that the close listeners get.
            reason: the close reason that they get.
        """
        before = self.phase
        if before >= CLOSED:
            return
        extras, hub = self._extras, self.outbox.delivery.hub
        if extras is None:
            extras = self._extras = Extras()
        extras.ended = (code, reason)
        self.phase = Phase.CLOSED
        if before < CLOSING:
            hub.remove(self)
        self.outbox.renew_fd()
        self.outbox.discard()
        if extras.pings is not None:
            extras.pings.fail(code, reason)
            extras.pings = None
        hub.population -= 1
        if extras.on_release is not None:
            extras.on_release(code)
            extras.on_release = None
        if self.flags & ADMITTED or self.memberships or extras.calls is not None:
            for observer in hub.observers:
                observer.ended(self, code, reason)
        self.inbox.finish()

    def closed(self) -> None:
        """Notify the application that the connection has ended; every message before that has been handled."""
        if self.flags & END_REPORTED:
            if self.phase is Phase.RELEASED and self.handler is None:
                self.drop()
            return
        self.flags |= END_REPORTED
        kept: Any = self.listeners
        listeners = listeners_of(kept, "close") if type(kept) is tuple and kept else ()
        if listeners:
            self.events.call_close_listeners(listeners)
        else:
            self.release()

    def release(self) -> None:
        """The close listeners have run: cancel timers and tasks, and forget the rooms."""
        self.phase = Phase.RELEASED
        if self._extras is not None and self._extras.owned is not None:
            self._extras.owned.cancel()
        self.memberships = _NO_ROOMS
        if self.handler is None:
            self.drop()
        else:
            cancel_overdue(self, self.handler, "a handler")

    def drop(self) -> None:
        """No code of the application runs for this connection any more: forget whatever may refer back to it.

        Its last reference frees it then, without the garbage collector: see :mod:`odac.realtime.released`. While a
        message listener runs, this does nothing; :meth:`closed` calls it again.
        """
        if self.inbox.is_awaiting:
            return
        self.listeners = ()
        self.context = None
        outbox = self.outbox
        released = Released(self.policy, outbox.delivery.loop, self.ended)
        self.inbox.drop(released)
        outbox.drop(released, NO_LANE)
        if self._extras is not None:
            self._extras.owned = self._extras.calls = None


def _both(first: Callable[[int], None], second: Callable[[int], None]) -> Callable[[int], None]:
    def call(code: int) -> None:
        first(code)
        second(code)

    return call
