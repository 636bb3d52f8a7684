"""A server without a network for the HTTP protocol: its transports keep what is written."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from odac.config import Limits
from odac.serving.forwarded import Trusted
from odac.serving.protocols.http import HttpProtocol
from odac.serving.protocols.websocket import WebSocketProtocol

App = Callable[[Any, Any, Any], Awaitable[None]]


class Transport(asyncio.Transport):
    """Keeps what is written; holds ``held`` of it back, like a transport whose peer reads nothing."""

    def __init__(self, ip: str = "203.0.113.9") -> None:
        super().__init__({"peername": (ip, 1), "sockname": ("127.0.0.1", 80)})
        self.written = b""
        self.held = 0
        self.reading = True
        self.closing = self.aborted = False
        self._protocol: Any = None

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return self.held

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def get_protocol(self) -> Any:
        return self._protocol

    def receive(self, data: bytes) -> None:
        """Something has arrived."""
        self._protocol.data_received(data)

    def lose(self) -> None:
        """The connection is gone."""
        self.closing = True
        self._protocol.connection_lost(None)

    @property
    def statuses(self) -> list[int]:
        """Of the answers so far."""
        return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", self.written)]


class FakeServer:
    """A server; each call makes a connection to it.

    Args:
        app: any ASGI app.
        limits: those of every request.
        protocol: the class for the ``http=`` option.
        proxies: the addresses whose connections begin with the PROXY protocol.
    """

    def __init__(
        self,
        app: App,
        limits: Limits = Limits(),  # noqa: B008 - a frozen value
        *,
        protocol: type[HttpProtocol] = HttpProtocol,
        proxies: Trusted | None = None,
        **config: Any,
    ) -> None:
        self.protocol_class = type("HttpProtocol", (protocol,), {"__slots__": (), "limits": limits})
        self.proxies = proxies
        self.config = Config(app, http=HttpProtocol, ws=WebSocketProtocol, lifespan="off", log_config=None, **config)
        self.config.load()
        self.state = ServerState()

    def __call__(self, ip: str = "203.0.113.9") -> Transport:
        transport = Transport(ip)
        protocol: Any = self.protocol_class(self.config, self.state, {}, asyncio.get_running_loop())
        protocol.reception.proxies = self.proxies
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return transport


async def turns(count: int = 10) -> None:
    """Let everything happen that needs no time."""
    for _ in range(count):
        await asyncio.sleep(0)
