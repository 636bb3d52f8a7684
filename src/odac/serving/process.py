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
"""Seconds after a complete stop at which threads that are still at work are left behind."""


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
        options: how.
        sockets: listening already.
        tls: for the sockets, or None.
        apps: the Odac apps in it; the first one's limits bound every handshake.
        started: called once connections are accepted.
        grace: see :class:`Server`; default: :func:`grace_of` the apps.
        prepare: called with the server on its running event loop, before the app starts.
        signals: stop it.
        exiting: the process ends afterwards, and threads that are still at work do not hold it.

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

    # A task that ignores its cancellation would hold the event loop for ever, and a thread (asyncio.to_thread) its end.
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
    """Raise the limit of open files, of which each connection is one, to what this process may have."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS calls its limit infinite, and refuses that
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The uvloop factory where it is installed, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _leave() -> None:
    logger.warning("tasks or threads were still at work %g s after everything had stopped, and are left behind", STUCK)
    sys.stderr.flush()
    os._exit(0)
