"""Running an app: uvicorn with Odac's own protocols for its ``http=`` and ``ws=`` options."""

from __future__ import annotations

from typing import Any, Unpack

from odac.serving.options import CannotStart, RunOptions
from odac.serving.protocols.http import HttpProtocol
from odac.serving.protocols.websocket import WebSocketProtocol
from odac.serving.run import run_app
from odac.spelling import did_you_mean

__all__ = ["CannotStart", "HttpProtocol", "WebSocketProtocol", "run"]


def run(app: str | Any, **options: Unpack[RunOptions]) -> None:
    """Serve an app until SIGINT or SIGTERM, as ``odac run`` does.

    Args:
        app: an Odac app or any other ASGI app, or its name as ``module:app``, which ``workers`` and ``reload`` need.
        **options: ``host="127.0.0.1"``; ``port=8000``, 0 for any that is free; ``uds``, the path of a Unix socket
            instead; ``workers=1``; ``reload=False`` and ``reload_dirs`` (the current directory); ``preload=False``,
            workers are forked from a process that has imported the app; ``broker``, a URL over the app's own;
            ``log_level="info"``; ``access_log=False``; ``ssl_certfile``, ``ssl_keyfile`` and
            ``ssl_keyfile_password``; one of ``proxy_headers=False`` (X-Forwarded-For and -Proto), ``forwarded=False``
            (RFC 7239) and ``proxy_protocol=False``, trusted if ``forwarded_allow_ips`` names the proxy (addresses
            and networks, ``"127.0.0.1,::1"``); ``behind_tls=False``, TLS ends in a program that adds no headers;
            ``root_path``; ``factory=False`` (the name is a function that returns the app); ``app_dir``, where modules
            are looked for first.

    Returns:
        when the server has stopped: every client was closed with 1001, after the messages sent to it before. A second
        signal ends the whole program at once.

    Raises:
        CannotStart: the app or the address cannot be used; the message says what to do.
        OdacError: what the app's own start-up raised.
    """
    unknown = options.keys() - RunOptions.__annotations__
    if unknown:
        name = min(unknown)
        raise TypeError(
            f"run() got an unexpected keyword argument {name!r}: {did_you_mean(name, RunOptions.__annotations__)}"
        )
    run_app(app, **options)
