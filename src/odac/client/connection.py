"""The Python client: a connection that reconnects, with one WebSocket after the other."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from odac.client.address import Address
from odac.client.calls import check_answer, check_call
from odac.client.clock import Clock, SystemClock
from odac.client.cookies import CookieJar
from odac.client.events import Events, check_event
from odac.client.fetch import get as http_get
from odac.client.options import check_subprotocols, check_types, checked_headers
from odac.client.proxies import chosen_proxy
from odac.client.reconnect import Reconnect
from odac.client.sent import Closing, Sent
from odac.client.session import Auth, Session
from odac.client.socket import Dial, dialer
from odac.client.tokens import Get, Tokens
from odac.close_codes import CloseCode
from odac.errors import Disconnected
from odac.jitter import RANDOM
from odac.protocol import codec
from odac.realtime.connection import ReadyState
from odac.realtime.iteration import Messages
from odac.routing.annotations import local_names
from odac.wire.frames import check_close

__all__ = ["ClientConnection"]

_H = TypeVar("_H", bound=Callable[..., Any])


class ClientConnection:
    """A connection to an Odac server; made by :func:`odac.connect`, which documents the arguments.

    ``clock``, ``random``, ``dial`` and ``get`` are for tests: they replace time, random numbers and the network.
    """

    __slots__ = ("__weakref__", "_address", "_events", "_session")

    def __init__(
        self,
        url: str,
        *,
        token: bool = True,
        auto_reconnect: bool = True,
        reconnect_delay: float = 3.0,
        max_reconnect_attempts: int | None = 10,
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
        subprotocols: Sequence[str] = (),
        prefix: str = "/odac",
        ssl: ssl_module.SSLContext | None = None,
        auth: Auth | None = None,
        proxy: str | bool | None = True,
        clock: Clock | None = None,
        random: Callable[[], float] = RANDOM.random,
        dial: Dial | None = None,
        get: Get | None = None,
    ) -> None:
        address = self._address = Address.parse(url)
        fields = checked_headers(headers)
        check_subprotocols(subprotocols)
        check_types(auth=auth, token=token, ssl=ssl)
        jar = CookieJar(cookies)
        clock = clock or SystemClock()
        chosen = chosen_proxy(address, proxy)
        get = get or partial(http_get, proxy=chosen)
        self._events = Events()
        self._session = Session(
            address=address,
            subprotocols=subprotocols,
            headers=fields,
            cookies=jar,
            tokens=Tokens(address, prefix, fields, jar, ssl, get) if token else None,
            reconnect=Reconnect(auto_reconnect, reconnect_delay, max_reconnect_attempts, random, fresh_token=token),
            events=self._events,
            clock=clock,
            dial=dial or dialer(ssl, clock.now, chosen),
            auth=auth,
        )

    # State

    @property
    def connected(self) -> bool:
        """Whether a message sent now goes out at once."""
        return self.state is ReadyState.OPEN

    @property
    def state(self) -> ReadyState:
        """The state of the connection; ``CLOSED`` also while the client waits for the next attempt."""
        return self._session.state

    @property
    def id(self) -> str | None:
        """The server's id of the current connection; None while there is none, or the server does not speak odac.v1."""
        link = self._session.link
        return link.id if link is not None else None

    @property
    def close_code(self) -> int | None:
        """The close code of the last connection or attempt, 1006 without a close frame; None before one has ended."""
        return self._events.last_end[0] if self._events.last_end is not None else None

    @property
    def close_reason(self) -> str | None:
        """The reason that came with :attr:`close_code`."""
        return self._events.last_end[1] if self._events.last_end is not None else None

    def __repr__(self) -> str:
        return f"<ClientConnection {self._address} {self.state.name.lower()}>"

    # Events

    @overload
    def on(self, event: str) -> Callable[[_H], _H]: ...
    @overload
    def on(self, event: str, handler: Callable[..., Any]) -> Self: ...
    def on(self, event: str, handler: Callable[..., Any] | None = None) -> Self | Callable[[_H], _H]:
        """Call ``handler`` at each ``event``, after earlier listeners; without a handler, return a decorator.

        Args:
            event: ``open()``, ``message(data)``, ``close(code, reason)``, ``error(exception)``,
                ``reconnecting(attempt, seconds)``, ``presence(change)``, a :class:`~odac.client.PresenceChange`,
                ``recover(recovery)``, a :class:`~odac.client.Recover`: after a reconnect, for each room with history,
                or ``invalid(refused)``, an :class:`~odac.client.Invalid`: the server has dropped a message that its
                route does not take (on routes with ``on_invalid="answer"``; without a listener, the first is logged).
            handler: takes the event's arguments or fewer, and may be ``async def``: the next event waits for it. What
                it raises goes to the ``error`` listeners; without any it is logged.

        Raises:
            ValueError: there is no such event.
            TypeError: the handler needs more arguments than the event has.
        """
        if handler is not None:
            self._events.on(event, handler)
            return self
        check_event(event)

        def decorate(function: _H) -> _H:
            self._events.on(event, function)
            return function

        return decorate

    def off(self, event: str, handler: Callable[..., Any] | None = None) -> Self:
        """Remove ``handler``, or with none every listener of ``event``."""
        self._events.off(event, handler)
        return self

    async def receive(self) -> Any:
        """The next message: parsed JSON, other text as ``str``, binary as ``bytes``. Waits through reconnections.

        Raises:
            Disconnected: the connection has ended for good, and every message has been read.
            RuntimeError: it was not opened, or a listener calls this.
        """
        if not self._session.is_started:
            raise RuntimeError(
                "not connected: use 'async with odac.connect(…) as ws:', or 'ws = await odac.connect(…)'"
            )
        return await self._events.receive()

    def __aiter__(self) -> AsyncIterator[Any]:
        return Messages(self.receive) if self._session.is_started else self._connected()

    async def _connected(self) -> AsyncIterator[Any]:
        """``async for data in odac.connect(…)``: the connection lasts as long as the loop."""
        async with self:
            async for data in self:
                yield data

    # Sending

    def send(self, data: object) -> Sent:
        """Send a message, or queue it until the connection is open.

        Args:
            data: dict, list, number, bool, None and whatever else msgspec encodes: JSON text. ``str``: text as it is.
                bytes-like: binary.

        Returns:
            A true value when it was sent or queued. A false one when the connection is closed for good, or, with an
            ``error`` event, when the queue would pass 256 messages or 1 MiB. ``await ws.send(…)`` also waits until
            there is room for more.

        Raises:
            TypeError: ``data`` cannot be sent.
        """
        return Sent(*self._session.send(codec.encode(data)))

    def send_binary(self, data: object) -> Sent:
        """Send any bytes-like object, of any item size, as a binary message; otherwise the same as :meth:`send`."""
        return Sent(*self._session.send(codec.encode_binary(data)))

    # Calls

    async def call(
        self,
        name: str,
        arguments: object = None,
        *,
        timeout: float = 10.0,  # noqa: ASYNC109 - part of the contract
        retry: bool = False,
        returns: Any = None,
    ) -> Any:
        """Call the server, and wait for its answer: ``await ws.call("move", {"to": "e4"})``.

        Args:
            name: of the function on the route: ``@route.answer(name)``.
            arguments: anything that JSON can hold.
            timeout: seconds until the call is given up; waiting for a connection is part of it.
            retry: send the call again if the connection is lost before the answer comes. It is executed at most once.
            returns: a type to validate the answer and convert it into; None for JSON as it is.

        Raises:
            CallError: there is no answer. Its ``code`` is one of the application's own, or ``unknown``, ``invalid``,
                ``busy``, ``timeout``, ``cancelled``, ``interrupted`` (the connection was lost, and it is not known
                whether the call was executed) or ``internal``.
            Disconnected: the connection is closed for good.
            InvalidMessage: the answer is not a ``returns``.
            TypeError: ``arguments`` cannot be sent.
            ValueError: ``timeout`` is not a number of seconds above 0, at most a day.
        """
        check_call(name, timeout)
        if not self._session.is_started:
            raise RuntimeError(
                "not connected: use 'async with odac.connect(…) as ws:', or 'ws = await odac.connect(…)'"
            )
        if self._session.is_over:
            raise Disconnected(*(self._events.last_end or (CloseCode.NORMAL, "")))
        return await self._session.calls.call(name, arguments, timeout, retry, returns)

    def answer(self, name: str) -> Callable[[_H], _H]:
        """Let a function answer the server's ``odac.ws.call(name, arguments)``: ``@ws.answer("confirm")``.

        It takes the arguments, whose annotation is their type, and may be ``async``. What it returns is the answer; if
        it raises :class:`odac.CallError`, the server gets that error. A later function replaces an earlier one.

        Args:
            name: of the call.

        Raises:
            ConfigurationError: there is no name, or the function's annotation cannot be used.
            TypeError: the function needs more than one argument.
        """
        check_answer(name)
        names = local_names(1)

        def register(function: _H) -> _H:
            self._session.calls.add(name, function, names)
            return function

        return register

    # Opening and closing

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Self:
        if self._session.is_started:
            raise RuntimeError("a connection is opened once: call odac.connect() again")
        await self._session.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._session.close(CloseCode.NORMAL if kind is None else CloseCode.GOING_AWAY, "")
        await self._session.wait_closed()

    def reconnect(self) -> None:
        """Make the next attempt now, if the client waits for it. Otherwise nothing happens."""
        self._session.retry_now()

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> Awaitable[None]:
        """End the connection for good and drop queued messages. A listener may call it; a second call does nothing.

        Args:
            code: the close code.
            reason: at most 123 UTF-8 bytes.

        Returns:
            An awaitable: it waits for the close handshake and for listeners that still run; in a listener, it does not
            wait.

        Raises:
            TypeError: the reason is not a str.
            ValueError: a code that may not be sent, or a reason that is too long.
        """
        check_close(code, reason)
        self._session.close(int(code), reason)
        return Closing(self._session.wait_closed)
