"""uvicorn's server as ``odac run`` uses it: signals, start-up without a log line for each step, and a graceful stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn

from odac.app import Odac
from odac.config import Limits
from odac.lanes.collector import collector
from odac.notices import counted
from odac.serving.acceptors import Acceptors
from odac.serving.lifespan import QuietLifespan, why_it_failed
from odac.serving.listener import BACKLOG
from odac.serving.loading import Found
from odac.serving.memory import spare_what_stays
from odac.serving.open_connections import OpenConnections
from odac.serving.options import CannotStart
from odac.serving.protocols.reception import Reception
from odac.serving.tls import listening

if TYPE_CHECKING:
    from odac.serving.uvicorn_config import UvicornConfig

__all__ = ["SIGNALS", "Server", "grace_of"]

logger = logging.getLogger("odac.server")

SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The signals that stop a server without a supervisor."""
_LOOK: Final = 0.05
"""Seconds between two checks whether everything has ended."""


class Server(uvicorn.Server):
    """Serves one app in this process.

    Args:
        config: uvicorn's configuration.
        sockets: the listening sockets; the server closes them when it stops.
        tls: the TLS context for the sockets, or None.
        apps: the Odac apps in the app, which are drained.
        limits: bound the handshake and the time that stopping takes.
        started: called once connections are accepted.
        grace: seconds after which stopping cancels what has not ended by itself.
        signals: the signals that stop it.
    """

    def __init__(
        self,
        config: UvicornConfig,
        sockets: Sequence[socket.socket],
        *,
        tls: ssl.SSLContext | None,
        apps: Sequence[Found],
        limits: Limits,
        started: Callable[[], None],
        grace: float,
        signals: Sequence[signal.Signals] = SIGNALS,
    ) -> None:
        super().__init__(config)
        self.config: UvicornConfig = config
        self.server_state.connections = cast("set[Any]", OpenConnections())
        self._acceptors: Acceptors | None = None
        self._sockets = list(sockets)
        self._tls = tls
        self._apps = apps
        self._limits = limits
        self._on_started = started
        self._reception: Reception | None = None
        self._told: set[Any] = set()
        self._grace = grace
        self._signalled = False
        self._signals = signals

    # Signals

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop at the first signal, end at once at the second; a graceful stop does not change the exit code."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # Under nohup the process starts with SIGHUP ignored: leave it so. A script's `odac run … &` starts with SIGINT
        # ignored: handle it anyway, so that it stops the server.
        heard = [
            each
            for each in self._signals
            if each in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(each) is not signal.SIG_IGN
        ]
        before = {each: signal.signal(each, self.handle_exit) for each in heard}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at the first signal and end at once at the second.

        A worker may already be draining on the supervisor's command when its first signal arrives: systemd sends
        SIGTERM to every process of a service.
        """
        if self._signalled:
            self.end_at_once(sig)
        self._signalled = self.should_exit = True

    def end_at_once(self, sig: int = signal.SIGTERM) -> None:
        """End the process at once, without closing handshakes."""
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(128 + sig)

    # Life

    async def _serve(self, sockets: list[socket.socket] | None = None) -> None:
        config = self.config
        if not config.loaded:
            config.load()
        self.lifespan = QuietLifespan(config)
        collector.spare_live()
        try:
            await self.startup()
            if not self.should_exit:
                await self.main_loop()
            await self.shutdown()
        finally:
            collector.stop(list(self.server_state.connections))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app and accept connections.

        Raises:
            CannotStart: the app's own start-up failed.
            OdacError: an Odac app's start-up raised it.
        """
        outer = self._apps[0].app if self._apps and self._apps[0].app is self.config.app else None
        if isinstance(outer, Odac):
            await outer.startup()  # called here so that its exception is raised; the lifespan would only pass on a text
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise CannotStart(why_it_failed(self.lifespan.reason))
        spare_what_stays()
        loop = asyncio.get_running_loop()
        config = self.config

        self._reception = Reception.of(
            config, self.server_state, loop, self._limits, self._apps[0].app.addresses if self._apps else None
        )
        self._reception.proxies = config.proxies

        def make_protocol() -> asyncio.Protocol:
            acceptors.count()
            protocol_class: Any = config.http_protocol_class
            protocol: asyncio.Protocol = protocol_class(
                config=config, server_state=self.server_state, app_state=self.lifespan.state, _loop=loop
            )
            return protocol

        # A client that never finishes its TLS handshake occupies a descriptor, like one that never sends a request.
        timeout = None if self._tls is None else self._limits.handshake_timeout
        create_server = listening(loop, self._tls)

        async def listen(each: socket.socket) -> asyncio.AbstractServer:
            return await create_server(
                make_protocol,
                sock=each,
                ssl=self._tls,
                backlog=BACKLOG,
                ssl_handshake_timeout=timeout,
                ssl_shutdown_timeout=None if self._tls is None else self._limits.close_timeout,
            )

        one_in_a_turn = create_server == loop.create_server and type(loop).__module__.startswith("uvloop")
        acceptors = self._acceptors = Acceptors(listen, self._sockets, one_in_a_turn=one_in_a_turn)
        await acceptors.start()
        self.started = True
        self._on_started()

    async def on_tick(self, counter: int) -> bool:
        """Adjust the number of servers that accept connections; uvicorn calls this every 0.1 s."""
        if self._acceptors is not None:
            await self._acceptors.adjust()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, drain, cancel what does not end by itself, and shut down the app."""
        if self._acceptors is not None:
            self._acceptors.close()
        for each in self._sockets:
            each.close()
        if self._reception is not None:
            self._reception.stopping = True
        for found in self._apps:
            found.app.drain()
        self._tell()
        if not await self._ends_within(self._grace, tell=True):
            await self._end_the_rest()
        for connection in list(self.server_state.connections):  # idle ones, kept until now for health checks
            _transport_of(connection).close()
        await self.lifespan.shutdown()

    def _tell(self) -> None:
        """Notify every connection once that the server is stopping, but let pending handshakes finish first.

        So a restart refuses no client that has connected already: its handshake is completed, and then it is closed
        like the others.
        """
        connections, told = self.server_state.connections, self._told
        for connection in [each for each in connections if each not in told]:
            if getattr(connection, "is_answered", True):
                told.add(connection)
                getattr(connection, "stop_soon", connection.shutdown)()
        told.intersection_update(connections)

    async def _ends_within(self, seconds: float, *, tell: bool = False) -> bool:
        state, loop = self.server_state, asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.sleep(_LOOK)  # the event loop accepts the connections in the kernel's queue meanwhile
        while state.tasks or not all(getattr(connection, "is_idle", False) for connection in state.connections):
            waited = loop.time() - begun
            if waited >= seconds:
                return False
            if tell and waited > 1:
                tell = False
                logger.info(
                    "waiting for %s and %s, %g s at most; a second Ctrl-C stops at once",
                    counted(len(state.connections), "connection"),
                    counted(len(state.tasks), "task"),
                    seconds,
                )
            await asyncio.sleep(_LOOK)
            self._tell()
        return True

    async def _end_the_rest(self) -> None:
        state = self.server_state
        logger.warning(
            "%s and %s did not end within %g s; they are cancelled",
            counted(len(state.connections), "connection"),
            counted(len(state.tasks), "task"),
            self._grace,
        )
        for name in ("uvicorn.error", "odac"):  # uvicorn logs the exceptions of HTTP requests, Odac those of WebSockets
            logging.getLogger(name).addFilter(_is_no_cancellation)
        for task in list(state.tasks):
            task.cancel("the server stops")
        for connection in list(state.connections):
            _transport_of(connection).abort()
        await self._ends_within(1.0)


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """Whether a log record is not the traceback of a request's task that was cancelled for the stop."""
    return record.exc_info is None or not isinstance(record.exc_info[1], asyncio.CancelledError)


def grace_of(apps: Sequence[Found]) -> float:
    """Seconds that stopping may take: the apps' limits for a drain, and for the closing handshakes of its last turn."""
    limits = [found.app.limits for found in apps] or [Limits()]
    return max(each.drain_timeout + each.close_timeout for each in limits) + 1.0


def _transport_of(connection: Any) -> asyncio.Transport:
    transport: asyncio.Transport = getattr(connection, "transport", None) or connection._transport
    return transport
