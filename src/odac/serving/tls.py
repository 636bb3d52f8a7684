"""Certificates, which are read before anything starts, and TLS transports."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from odac.serving.options import CannotStart, ServeOptions

__all__ = ["listening", "server_context"]

logger = logging.getLogger("odac.server")


def server_context(options: ServeOptions) -> ssl.SSLContext | None:
    """The TLS context for these options, or None if they name no certificate.

    Raises:
        CannotStart: the certificate or its key cannot be used; the message names the file and the reason.
    """
    if options.ssl_certfile is None:
        return None
    for path in filter(None, (options.ssl_certfile, options.ssl_keyfile)):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise CannotStart(f"{path} cannot be read: {error.strerror or error}") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Without a password argument, OpenSSL would ask for one on the terminal.
    password = options.ssl_keyfile_password or ""
    try:
        context.load_cert_chain(options.ssl_certfile, options.ssl_keyfile, lambda: password)
    except ssl.SSLError as error:
        raise CannotStart(_why(error, options)) from None
    return context


def listening(
    loop: asyncio.AbstractEventLoop, tls: ssl.SSLContext | None
) -> Callable[..., Coroutine[Any, Any, asyncio.Server]]:
    """Return the function to call in place of ``loop.create_server``: with TLS, aiofastnet's, if it is installed.

    Its transports call OpenSSL without intermediate copies, on any event loop. Without TLS, the loop's own function is
    used: Odac writes past its transports. On uvloop, aiofastnet 1.2 does not detect a reset that arrives together with
    a part of a TLS record: it reads once, and libuv stops polling a socket with an error. Such a connection ends with
    the handshake's timeout, or at the next write, such as the heartbeat's ping.
    """
    if tls is None:
        return loop.create_server
    try:
        import aiofastnet
    except ImportError:
        return loop.create_server
    before = loop.get_exception_handler()

    def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if _is_peers_fault(context):
            logger.debug("%s: %r", context.get("message"), context.get("exception"))
        elif before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(report)
    return partial(aiofastnet.create_server, loop)


def _is_peers_fault(context: dict[str, Any]) -> bool:
    """Whether aiofastnet reports an error that asyncio's own TLS ignores: the peer does not speak TLS, or is gone.

    Any client could fill the log with it. If the peer is gone, the exception may be a class, which logging refuses.
    """
    error = context.get("exception")
    kind = error if isinstance(error, type) else type(error)
    return issubclass(kind, OSError) and type(context.get("transport")).__module__.startswith("aiofastnet.")


def _why(error: ssl.SSLError, options: ServeOptions) -> str:
    key = options.ssl_keyfile or options.ssl_certfile
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"the key in {key} is not the one of the certificate in {options.ssl_certfile}"
    if b"ENCRYPTED" in Path(key or "").read_bytes():
        return f"the key in {key} is encrypted, and the password is " + (
            "wrong"
            if options.ssl_keyfile_password
            else "missing: give it with --ssl-keyfile-password or $ODAC_SSL_KEYFILE_PASSWORD"
        )
    both = f"{options.ssl_certfile} and {key}" if key != options.ssl_certfile else f"{key}"
    return (
        f"no certificate and key in PEM form can be read from {both} ({error.reason or error}); without"
        " --ssl-keyfile, the one file must contain both"
    )
