"""One process that serves an app until it is told to stop."""

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
from collections.abc import Callable, Sequence
from typing import Any, Final

from odac.config import Limits
from odac.serving.loading import Found
from odac.serving.memory import keep_freed_pages
from odac.serving.options import ServeOptions
from odac.serving.uvicorn_config import UvicornConfig
from odac.serving.uvicorn_server import SIGNALS, Server, grace_of

__all__ = ["STUCK", "serve"]

logger = logging.getLogger("odac.server")

STUCK: Final = 5.0
"""Seconds after a complete stop after which threads that still run are abandoned."""


def serve(
    app: Any,
    options: ServeOptions,
    sockets: Sequence[socket.socket],
    *,
    tls: ssl.SSLContext | None,
    apps: Sequence[Found],
    started: Callable[[], None],
    grace: float | None = None,
    prepare: Callable[[Server], None] = lambda server: None,
    signals: Sequence[signal.Signals] = SIGNALS,
    exiting: bool = False,
) -> None:
    """Serve an app on listening sockets until a signal comes.

    Args:
        app: any ASGI app.
        options: how it is served.
        sockets: the listening sockets.
        tls: the TLS context for the sockets, or None.
        apps: the Odac apps in it; the first one's limits bound every handshake.
        started: called once connections are accepted.
        grace: see :class:`Server`; default: :func:`grace_of` the apps.
        prepare: called with the server on its running event loop, before the app starts.
        signals: the signals that stop it.
        exiting: the process ends afterwards, even if threads still run.

    Raises:
        OdacError: the app cannot start.
    """
    _use_all_files()
    keep_freed_pages()
    limits = apps[0].app.limits if apps else Limits()
    config = UvicornConfig(app, options, limits)
    server = Server(
        config,
        sockets,
        tls=tls,
        apps=apps,
        limits=limits,
        started=started,
        grace=grace_of(apps) if grace is None else grace,
        signals=signals,
    )

    # A task that ignores its cancellation would keep the event loop running forever, and a thread (asyncio.to_thread)
    # would prevent its end.
    last = threading.Timer(STUCK, _leave)
    last.daemon = True

    async def main() -> None:
        prepare(server)
        await server.serve()
        if threading.current_thread() is threading.main_thread():
            last.start()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main())
    if not exiting:
        last.cancel()


def _use_all_files() -> None:
    """Raise the limit of open files to its maximum: each connection is one."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS reports an infinite limit, and refuses to set it
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The factory of uvloop if it is installed, else that of asyncio."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _leave() -> None:
    logger.warning("tasks or threads still ran %g s after everything had stopped, and are abandoned", STUCK)
    sys.stderr.flush()
    os._exit(0)
