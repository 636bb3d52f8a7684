"""Runs a server as the options say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from odac.brokers.url import DIRECTORY_VARIABLE, parse_url
from odac.security.secret import WORKERS_VARIABLE, environment_secrets
from odac.serving.describe import introduction
from odac.serving.listener import Ports, bind, listening_address
from odac.serving.loading import load_and_check
from odac.serving.local_broker import local_brokers, private_directory
from odac.serving.log import configure_logging
from odac.serving.options import CannotStart, ServeOptions
from odac.serving.process import serve
from odac.serving.tls import server_context

__all__ = ["run_app"]


def run_app(app: str | Any, *, exiting: bool = False, **given: Any) -> None:
    """See :func:`odac.server.run`.

    Args:
        app: the app or its name.
        exiting: the process ends afterwards, even if threads still run.
        **given: see :class:`~odac.serving.options.ServeOptions`.
    """
    options = ServeOptions(**given)
    configure_logging(options.log_level, access_log=options.access_log)
    if not options.supervised:
        _run_here(app, options, exiting)
    elif not isinstance(app, str):
        raise CannotStart(
            "workers, preload and reload start other processes, which need the app's name: run('module:app', …)"
        )
    elif threading.current_thread() is not threading.main_thread():
        raise CannotStart(
            "workers, preload and reload need signals, which Python delivers to a program's main thread only: call"
            " run() there"
        )
    else:
        _run_supervised(app, options)


def _run_here(app: str | Any, options: ServeOptions, exiting: bool) -> None:
    tls = server_context(options)
    loaded, found = load_and_check(app, options)
    sockets = bind(options)
    target = app if isinstance(app, str) else type(app).__name__
    text = introduction(target, listening_address(sockets, options), found)
    with _closing(sockets, options.uds), local_brokers(each.app.broker_url for each in found):
        serve(loaded, options, sockets, tls=tls, apps=found, started=lambda: click.echo(text), exiting=exiting)


@contextlib.contextmanager
def _closing(sockets: Sequence[socket.socket], uds: str | None) -> Iterator[None]:
    try:
        yield
    finally:
        for each in sockets:
            each.close()
        if uds is not None:
            Path(uds).unlink(missing_ok=True)


def _run_supervised(app: str, options: ServeOptions) -> None:
    from odac.serving.supervisor import Supervisor

    server_context(options)  # report a wrong certificate once, not once for each worker
    ports = Ports(options)
    environment = dict(os.environ)
    own_secret = not environment_secrets(environment)
    if own_secret:
        # All workers share it, so that each accepts the others' tokens, and sessions stay valid after a reload.
        environment[WORKERS_VARIABLE] = secrets.token_urlsafe(32)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_closing((), options.uds))
        stack.callback(ports.close_all)
        stack.enter_context(_broker(options, environment))
        supervisor = Supervisor(app, options, ports, environment, own_secret=own_secret)
        with asyncio.Runner() as runner:
            runner.run(supervisor.run())


@contextlib.contextmanager
def _broker(options: ServeOptions, environment: dict[str, str]) -> Iterator[None]:
    """Connect the workers: run the local broker's proxy if they use it.

    If the user names no broker, only ``$ODAC_LOCAL_DIRECTORY`` names the private one to the workers: ``$ODAC_BROKER``
    keeps the user's value, because the app may read it as well.
    """
    url = options.broker or environment.get("ODAC_BROKER")
    if url is None and options.workers == 1:
        yield
        return
    url = url or "local://"
    with contextlib.ExitStack() as stack:
        if parse_url(url).address == "local://":
            environment[DIRECTORY_VARIABLE] = stack.enter_context(private_directory())
            url = f"local://{environment[DIRECTORY_VARIABLE]}"
        stack.enter_context(local_brokers([url]))
        yield
