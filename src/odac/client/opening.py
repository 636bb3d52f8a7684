"""``odac.connect``: the public function that makes a client's connection."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Mapping, Sequence

from odac.client.connection import ClientConnection
from odac.client.session import Auth
from odac.spelling import check_names

__all__ = ["connect"]


@check_names
def connect(
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
) -> ClientConnection:
    """Connect to an Odac server, and stay connected.

    Use it as ``async with odac.connect(url) as ws:``. ``ws = await odac.connect(url)`` leaves closing to you, and
    ``async for data in odac.connect(url):`` reads until the end. Each of them connects, and waits until the server has
    accepted the connection; the call alone does not connect yet, so that listeners can be added first.

    Args:
        url: ``ws://`` or ``wss://``, with path and query.
        token: send a fresh token with each attempt. Turn it off for routes declared with ``token=False``.
        auto_reconnect: connect again when the connection is lost, unless the close code is final.
        reconnect_delay: seconds before the first retry (the browser's ``reconnectDelay`` is in milliseconds); each
            further one waits 1.5 times as long, at most 30 s, scaled by a random factor from 0.5 to 1.
        max_reconnect_attempts: retries since the last connection that stayed open for 5 s, those before the first
            connection included; None for no limit.
        headers: further headers of the handshake and of the request for the token.
        cookies: cookies to begin with; those that the server sets are kept for as long as this object lives.
        subprotocols: the names of those to offer besides Odac's own.
        prefix: where the server keeps its token endpoint: the ``prefix`` of its ``Odac(…)``, below its mount point.
        ssl: the TLS context of a ``wss://`` URL, None for the default one.
        auth: a bearer token, or a function that returns one and may be ``async``, called for each attempt. The token is
            sent in the ``Authorization`` header, and the app reads it as ``request.bearer``.
        proxy: the forward proxy for the connection and the request for the token: ``http://host:port``, with
            ``user:password@`` where it is needed; True takes the environment's (``$https_proxy`` and ``$wss_proxy`` for
            ``wss://``, ``$http_proxy`` and ``$ws_proxy`` for ``ws://``, unless ``$no_proxy`` names the host), None
            none.

    Raises:
        TypeError: at once, for an option of a wrong type.
        ValueError: at once, for a URL or an option that cannot work.
        OSError: when opening: the server cannot be reached, and no attempt is left.
        HandshakeRefused: when opening: the server answered the handshake or the request for a token with an HTTP error.
        Disconnected: when opening: the server closed the connection at once, with a final code such as 4001, or no
            attempt is left.
    """
    return ClientConnection(
        url,
        token=token,
        auto_reconnect=auto_reconnect,
        reconnect_delay=reconnect_delay,
        max_reconnect_attempts=max_reconnect_attempts,
        headers=headers,
        cookies=cookies,
        subprotocols=subprotocols,
        prefix=prefix,
        ssl=ssl,
        auth=auth,
        proxy=proxy,
    )
