"""uvicorn's configuration, made from Odac's options."""

from __future__ import annotations

from typing import Any, cast

import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from odac.config import Limits
from odac.serving.forwarded import BehindTls, ForwardedHeader, Trusted
from odac.serving.options import ServeOptions
from odac.serving.protocols.http import HttpProtocol
from odac.serving.protocols.proxy_protocol import ProxiedProtocol
from odac.serving.protocols.websocket import WebSocketProtocol

__all__ = ["UvicornConfig"]


class UvicornConfig(uvicorn.Config):
    """The configuration of one server: Odac's protocol classes, and what a proxy reports about clients.

    Args:
        app: any ASGI app.
        options: the server's options.
        limits: bound every handshake.

    Attributes:
        proxies: the proxies whose connections begin with the PROXY protocol; None if it is not turned on.
    """

    def __init__(self, app: Any, options: ServeOptions, limits: Limits) -> None:
        super().__init__(
            app,
            http=_bounded(ProxiedProtocol if options.proxy_protocol else HttpProtocol, limits),
            ws=_bounded(WebSocketProtocol, limits),
            ws_max_size=limits.max_payload,
            ws_max_queue=limits.incoming_queue,
            ws_ping_interval=limits.ping_interval,
            ws_ping_timeout=limits.pong_timeout,
            log_config=None,
            access_log=options.access_log,
            proxy_headers=options.proxy_headers,
            forwarded_allow_ips=options.trusted_proxies,
            server_header=False,
            root_path=options.root_path,
            factory=False,
        )
        self._options = options
        self.proxies = self._trusted() if options.proxy_protocol else None

    def load(self) -> None:
        """Import and wrap the app and the classes that are configured by name; uvicorn calls this before it serves."""
        super().load()
        if self._options.forwarded:
            self.loaded_app = cast("Any", ForwardedHeader(self.loaded_app, self._trusted()))
        if self._options.behind_tls:
            self.loaded_app = cast("Any", BehindTls(self.loaded_app))

    def _trusted(self) -> Trusted:
        # Parsed by uvicorn's own class, so that the list has the same meaning for all three options.
        trusted: Trusted = ProxyHeadersMiddleware(cast("Any", None), self.forwarded_allow_ips).trusted_hosts
        return trusted


def _bounded(protocol: type[Any], limits: Limits) -> type[Any]:
    """A protocol class with limits of its own."""
    return type(protocol.__name__, (protocol,), {"__slots__": (), "limits": limits, "__doc__": protocol.__doc__})
