"""From options to a running server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypedDict

import click

from odac.serving.describe import introduction
from odac.serving.listener import bind, listening_address
from odac.serving.loading import Found, find_odac_apps, load_app
from odac.serving.log import configure_logging
from odac.serving.options import CannotStart, LogLevel, ServeOptions
from odac.serving.tls import server_context

__all__ = ["RunOptions", "load_and_check", "run_app"]


class RunOptions(TypedDict, total=False):
    """The arguments of :func:`odac.server.run`."""

    host: str
    port: int
    uds: str | None
    workers: int
    reload: bool
    reload_dirs: Sequence[str]
    broker: str | None
    log_level: LogLevel
    access_log: bool
    ssl_certfile: str | None
    ssl_keyfile: str | None
    ssl_keyfile_password: str | None
    proxy_headers: bool
    forwarded_allow_ips: str | None
    root_path: str
    factory: bool
    app_dir: str


def run_app(app: str | Any, **given: Any) -> None:
    """See :func:`odac.server.run`."""
    options = ServeOptions(**{**given, "reload_dirs": tuple(given.get("reload_dirs", ()))})
    configure_logging(options.log_level, access_log=options.access_log)
    if options.supervised:
        raise CannotStart("workers and reload are not there yet")
    _run_here(app, options)


def _run_here(app: str | Any, options: ServeOptions) -> None:
    from odac.serving.process import serve

    tls = server_context(options)
    loaded, found = load_and_check(app, options)
    sockets = bind(options)
    target = app if isinstance(app, str) else type(app).__name__
    text = introduction(target, listening_address(sockets, options), found)
    try:
        serve(loaded, options, sockets, tls=tls, apps=found, started=lambda: click.echo(text))
    finally:
        for each in sockets:
            each.close()
        if options.uds is not None and os.path.exists(options.uds):  # noqa: PTH110 - no Path for one look
            os.unlink(options.uds)  # noqa: PTH108


def load_and_check(app: str | Any, options: ServeOptions) -> tuple[Any, list[Found]]:
    """Import the app, and look at all that can be known before it starts.

    Raises:
        OdacError: something is wrong with it; the message names the fix.
    """
    if options.broker is not None:
        os.environ["ODAC_BROKER"] = options.broker
    loaded = load_app(app, factory=options.factory, app_dir=options.app_dir) if isinstance(app, str) else app
    found = find_odac_apps(loaded)
    for each in found:
        if options.broker is not None:
            each.app.broker_url = options.broker  # also where the app names one itself: the command line is nearer
        each.app.check()
    return loaded, found
