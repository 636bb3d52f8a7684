"""Keeps a client connected: makes one attempt after the other, as the rules of :mod:`odac.client.reconnect` allow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final

from odac.client.address import Address
from odac.client.calls import Calls
from odac.client.clock import Clock
from odac.client.cookies import CookieJar
from odac.client.events import Events
from odac.client.invalid import read_invalid
from odac.client.link import PROTOCOL, Link
from odac.client.pending import Pending
from odac.client.presence import Rosters
from odac.client.reconnect import Reconnect
from odac.client.recovery import REJOINED_WITHIN, RESUME, Positions
from odac.client.socket import CLOSE_TIMEOUT, Dial, Socket
from odac.client.tokens import Tokens
from odac.close_codes import CloseCode
from odac.errors import Disconnected
from odac.protocol.message import Prepared
from odac.realtime.connection import ReadyState

__all__ = ["OPEN_TIMEOUT", "Auth", "Session"]

logger = logging.getLogger("odac.client")

Auth = str | Callable[[], Any]
"""A bearer token, or a function that returns one or an awaitable of one."""

OPEN_TIMEOUT: Final = 20.0
"""Seconds for one attempt: the request for the token, the handshake, and the wait for the server's hello."""


class Session:
    """Owns the connection and its tasks: one that connects and reads, one that calls the listeners, and, when it is
    closed, one for the close handshake.

    Args:
        address: of the server.
        subprotocols: the names to offer besides Odac's own.
        headers: further headers of the handshake.
        cookies: the cookies of the server.
        tokens: gets the tokens; None to send none.
        reconnect: decides about further attempts.
        events: the queue for the client's events.
        clock: gives the time.
        dial: opens connections.
        auth: a bearer token for each attempt, or a function that returns one; None for none.
    """

    __slots__ = (
        "_address",
        "_auth",
        "_clock",
        "_close_request",
        "_closer",
        "_cookies",
        "_deliverer",
        "_dial",
        "_events",
        "_final_error",
        "_headers",
        "_opening",
        "_pending",
        "_reader",
        "_reconnect",
        "_retry_wait",
        "_subprotocols",
        "_tokens",
        "calls",
        "link",
        "positions",
        "rosters",
        "state",
    )

    def __init__(
        self,
        address: Address,
        subprotocols: Sequence[str],
        headers: Sequence[tuple[str, str]],
        cookies: CookieJar,
        tokens: Tokens | None,
        reconnect: Reconnect,
        events: Events,
        clock: Clock,
        dial: Dial,
        auth: Auth | None = None,
    ) -> None:
        self._address = address
        self._auth = auth
        self._subprotocols = tuple(subprotocols)
        self._headers = tuple(headers)
        self._cookies = cookies
        self._tokens = tokens
        self._reconnect = reconnect
        self._events = events
        self._clock = clock
        self._dial = dial
        self._retry_wait: asyncio.Task[None] | None = None
        self._pending = Pending()
        self._opening: asyncio.Future[None] | None = None  # done when the first connection is open, or with the error
        self._reader: asyncio.Task[None] | None = None
        self._deliverer: asyncio.Task[None] | None = None
        self._closer: asyncio.Task[None] | None = None
        self._close_request: tuple[int, str] | None = None
        self._final_error: Exception | None = None
        self.calls = events.calls = Calls(events)
        self.rosters = Rosters()
        self.positions = Positions()
        self.link: Link | None = None
        self.state = ReadyState.CONNECTING

    def _control(self, kind: str, values: list[Any]) -> None:
        if kind == "invalid":
            if (refused := read_invalid(values)) is not None:
                self._events.post("invalid", refused)
            return
        recovery = self.positions.control(kind, values)
        if recovery is not None:
            self._events.post("recover", recovery)
        try:
            change = self.rosters.receive(kind, values)
        except (TypeError, ValueError):
            return  # malformed
        if change is not None:
            self._events.post("presence", change)
        else:
            self.calls.receive(kind, values)

    @property
    def is_started(self) -> bool:
        """Whether it has been opened, or closed before that."""
        return self._reader is not None or self._close_request is not None

    @property
    def is_over(self) -> bool:
        """Whether it is closed for good."""
        return self._close_request is not None or (self._reader is not None and self._reader.done())

    async def open(self) -> None:
        """Return when the server has accepted the first connection; raise the last error if no attempt succeeds."""
        loop = asyncio.get_running_loop()
        self._opening = loop.create_future()
        self._deliverer = loop.create_task(self._events.run(), name=f"odac client {self._address}: listeners")
        self._reader = loop.create_task(self._stay_connected(), name=f"odac client {self._address}")
        try:
            await self._opening  # only this call awaits it, so it may be cancelled with it
        except BaseException:
            self.close(CloseCode.GOING_AWAY, "")
            await self.wait_closed()
            raise

    def send(self, message: Prepared) -> tuple[bool, Socket | None]:
        """Write a message or queue it. Return whether that was possible, and the socket that it was written to."""
        link = self.link
        if link is not None and self.state is ReadyState.OPEN and link.send(message):
            return True, link.socket
        if self.is_over:
            logger.warning(
                "%s: dropped a message that was sent after the connection was closed for good", self._address
            )
            return False, None
        if self._pending.push(message):
            return True, None
        self._events.post(
            "error", BufferError(f"{self._address}: not connected, and the queue is full: a message was refused")
        )
        return False, None

    def close(self, code: int, reason: str) -> None:
        """Close it for good. The code must be one that may be sent."""
        if self.is_over:
            return
        self._close_request = (code, reason)
        self._pending.clear()
        self._events.release()
        if self.link is not None and self.state is ReadyState.OPEN:
            self.state = ReadyState.CLOSING
            closing = self.link.socket.close(code, reason)
            self._closer = asyncio.get_running_loop().create_task(closing, name=f"odac client {self._address}: closing")
        elif self._reader is not None:
            self._reader.cancel()
        else:
            self.state = ReadyState.CLOSED
            self.calls.finished(code, reason)
            self._events.finish(code, reason)

    async def wait_closed(self) -> None:
        """Wait until the tasks have ended; cancel those that still run after the close timeout and 1 s more."""
        if self._events.in_listener:  # it would wait for itself
            return
        tasks = [task for task in (self._reader, self._closer, self._deliverer) if task is not None]
        if not tasks:
            return
        try:
            _, late = await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT + 1)
        except asyncio.CancelledError:
            await _cancel_all(tasks)
            raise
        if late:
            logger.warning(
                "%s: cancelled a listener that still ran %g s after the close", self._address, CLOSE_TIMEOUT + 1
            )
            await _cancel_all(late)

    async def _stay_connected(self) -> None:
        code, reason = int(CloseCode.ABNORMAL), ""
        try:
            while True:
                code, reason, wait = await self._connect_once()
                if wait is None:
                    break
                self._events.post("reconnecting", self._reconnect.attempts, wait)
                await self._pause(wait)
        except asyncio.CancelledError:
            if self._close_request is None:
                raise
            code, reason = self._close_request
            self._events.ended(code, reason)
        finally:
            self.state = ReadyState.CLOSED
            self._pending.clear()
            self._finish_opening(self._final_error or Disconnected(code, reason))
            self.calls.finished(code, reason)
            self._events.finish(code, reason)

    async def _pause(self, seconds: float) -> None:
        """Wait for the next attempt, unless :meth:`retry_now` ends the wait."""
        self._retry_wait = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait([self._retry_wait])
        finally:
            self._retry_wait.cancel()
            self._retry_wait = None

    def retry_now(self) -> None:
        """Make the next attempt now, if the client waits for it."""
        if self._retry_wait is not None:
            self._retry_wait.cancel()

    async def _connect_once(self) -> tuple[int, str, float | None]:
        """Make one attempt, and run its connection to the end. Return how it ended and the seconds until the next."""
        self.state = ReadyState.CONNECTING
        error, link, stayed = await self._attempt()
        self.link = None
        self.state = ReadyState.CLOSED
        wait = self._reconnect.after(error, stayed=stayed, drain=link.drain if link is not None else None)
        if self._close_request is not None:
            wait = None
        if self._tokens is not None:
            # A server that stops has just sent one. After 4002 the next token must not be the one that was refused.
            self._tokens.use_spare = link is not None and link.drain is not None
        if wait is None:
            self._pending.clear()
        code, reason = (
            (int(error.code), error.reason) if isinstance(error, Disconnected) else (int(CloseCode.ABNORMAL), "")
        )
        # The caller that opens the connection gets a final error raised; do not report it twice.
        opening = self._opening is not None and not self._opening.done()
        if not isinstance(error, Disconnected) and not (opening and wait is None):
            self._events.post("error", error)
        self.positions.closed(code)
        self._events.ended(code, reason)
        if wait is None and self._close_request is None:
            self._final_error = error
            if self._reconnect.exhausted:
                gave_up = f"gave up after {self._reconnect.attempts} attempts to reconnect"
                error.add_note(gave_up)
                if not opening:
                    self._events.post("error", ConnectionError(f"{self._address}: {gave_up}"))
        return code, reason, wait

    async def _attempt(self) -> tuple[Exception, Link | None, float]:
        """Connect and read. Return why it ended, the connection if it was open, and for how many seconds it was."""
        link: Link | None = None
        try:
            try:
                async with asyncio.timeout(OPEN_TIMEOUT):
                    resume = self.positions.resume()
                    socket = await self._handshake(resumes=resume is not None)
                    self.positions.opened()
                    link = Link(socket, self._clock, self._keep_token, self._control, self.positions.arrived)
                    if resume is not None and link.speaks_odac:
                        link.control(resume)
                    await link.wait_for_hello()
                    self.positions.control("hello", [link.facts])
                    self.calls.hello_received()
            except TimeoutError as error:
                raise (
                    error if str(error) else TimeoutError(f"{self._address}: no answer in {OPEN_TIMEOUT:g} s")
                ) from None
        except BaseException as error:
            if link is not None:
                link.socket.abort()
            if isinstance(error, Exception):
                return error, None, 0.0
            raise
        opened = self._clock.now()
        end = await self._run_connection(link)
        return end, link, self._clock.now() - opened

    async def _handshake(self, *, resumes: bool) -> Socket:
        offered = [PROTOCOL, RESUME] if resumes else [PROTOCOL]
        if self._tokens is not None:
            offered.append(f"odac-token-{await self._tokens.fresh()}")
        headers = list(self._headers)
        if self._auth is not None:
            headers.append(("Authorization", f"Bearer {await _bearer_token(self._auth)}"))
        path = self._address.path
        if (cookie := self._cookies.header(path)) is not None:
            headers.append(("Cookie", cookie))
        return await self._dial(
            self._address, (*offered, *self._subprotocols), headers, lambda values: self._cookies.store(values, path)
        )

    async def _run_connection(self, link: Link) -> Exception:
        """Send the queued messages, then read until the end; return the reason of the end."""
        self.link = link
        while self._pending and link.send(self._pending.first()):
            self._pending.sent()
        self.state = ReadyState.OPEN
        self.calls.opened(link)
        self._events.post("open")
        self._finish_opening(None)
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(link.watch(), name=f"odac client {self._address}: liveness")]
        if self.positions.is_waiting:
            tasks.append(
                loop.create_task(self._report_overdue(), name=f"odac client {self._address}: rooms not joined")
            )
        try:
            return await link.run(self._events.message, lambda error: self._events.post("error", error))
        except Exception as error:
            logger.exception("%s: reading failed", self._address)
            return error
        finally:
            link.socket.abort()  # does nothing after a close handshake
            self.calls.lost()
            self.rosters.lost()
            await _cancel_all(tasks)

    async def _report_overdue(self) -> None:
        """Report the rooms to which the server has not joined this client again."""
        await self._clock.sleep(REJOINED_WITHIN)
        for recovery in self.positions.overdue():
            self._events.post("recover", recovery)

    def _keep_token(self, token: str) -> None:
        if self._tokens is not None:
            self._tokens.keep(token)

    def _finish_opening(self, error: Exception | None) -> None:
        opening = self._opening
        if opening is None or opening.done():
            return
        if error is None:
            opening.set_result(None)
        else:
            opening.set_exception(error)
            opening.exception()  # so that asyncio logs nothing if the caller of open() was cancelled


async def _bearer_token(auth: Auth) -> str:
    """The bearer token of this attempt.

    Raises:
        ConnectionError: ``auth`` gave no token that a header can hold.
    """
    token = auth if isinstance(auth, str) else auth()
    if isinstance(token, Awaitable):
        token = await token
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise ConnectionError(
            "auth= gave no token: it must be a str of printable ASCII, or a function that returns one"
        )
    return token


async def _cancel_all(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
