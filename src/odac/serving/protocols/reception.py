"""State that the connections of one server share, and the choice of the protocol that serves a connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from odac.config import Limits
from odac.errors import HandshakeError
from odac.notices import limit_met, warn
from odac.realtime.deadlines import Deadlines
from odac.routing.addresses import Addresses
from odac.serving.forwarded import Trusted
from odac.serving.protocols.request_head import with_lower_names
from odac.serving.protocols.websocket import WebSocketProtocol
from odac.wire.handshake import response_error
from odac.wire.request import UsualRequest

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

__all__ = ["FULL", "Reception", "RefusedConnection"]

_RECEPTION: Final = "odac.reception"
_LINGER: Final = 1.0
"""Seconds for a refused client to read the answer. Closing at once, while the client still sends, could lose it."""

FULL: Final = HandshakeError(503, "Too many connections. Try again later.", (("Retry-After", "5"),))


class Reception:
    """State that the connections of one server share.

    Args:
        config: uvicorn's configuration.
        state: the server's state.
        loop: the event loop that the server runs on.
        limits: bound every request's head, and the number of connections.
        addresses: the number of connections of each client address; by default the server's own count.
    """

    def __init__(
        self,
        config: Config,
        state: ServerState,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        addresses: Addresses | None = None,
    ) -> None:
        self.config = config
        self.state = state
        self.connections: set[Any] = state.connections
        self.loop = loop
        self.limits = limits
        self.addresses = addresses or Addresses(limits.connections_per_ip)
        self.deadlines = Deadlines(loop, limits.handshake_timeout)
        self.stopping = False
        self.proxies: Trusted | None = None  # the proxies whose connections begin with a PROXY header
        self._upgraded: type[Any] | None = None  # the class of the option ws=, when it was last checked
        self._is_own = False
        self.uncounted = 0  # connections without a request yet, and refused ones: each of them ends soon

    @classmethod
    def of(
        cls,
        config: Config,
        state: ServerState,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        addresses: Addresses | None = None,
    ) -> Reception:
        """The reception of this server, created at the first call."""
        kept = state.__dict__  # the only object that uvicorn passes to every protocol and that lives with the server
        found: Reception | None = kept.get(_RECEPTION)
        if found is None:
            found = kept[_RECEPTION] = cls(config, state, loop, limits, addresses)
        return found

    # Limits

    @property
    def is_full(self) -> bool:
        """Whether the maximum number of connections is reached, HTTP and WebSocket together."""
        if len(self.connections) - self.uncounted < self.limits.max_connections:
            return False
        limit_met(
            "max_connections",
            "a connection was refused with 503: %d connections are open (Limits.max_connections)",
            self.limits.max_connections,
        )
        return True

    def take_place(self, transport: asyncio.Transport, client: tuple[str, int] | None = None) -> str | None:
        """Count a connection that has sent its first request.

        Args:
            transport: the connection's.
            client: the client's address, if a proxy has named it by the PROXY protocol.

        Returns:
            Its key for :meth:`give_back`; None if a limit is reached and the connection must be refused.
        """
        limits = self.limits
        if self.is_full:
            return None
        if limits.connections_per_ip is None:
            return ""
        peer = client or transport.get_extra_info("peername")
        ip = str(peer[0]) if isinstance(peer, (tuple, list)) else ""
        if client is None and self._is_proxy(ip):
            return ""  # a proxy's connections are counted by the client addresses that it passes on
        key = self.addresses.take(ip)
        if key is None:
            limit_met(
                "connections_per_ip",
                "a connection of %s was refused with 503: it already has %d open connections"
                " (Limits.connections_per_ip)",
                ip or "a client without an address",
                limits.connections_per_ip,
            )
        return key

    def give_back(self, key: str) -> None:
        """A connection that was counted has ended, or is counted elsewhere from now on."""
        if key:
            self.addresses.release(key)

    def _is_proxy(self, ip: str) -> bool:
        trusted = getattr(self.config.loaded_app, "trusted_hosts", None)
        return trusted is not None and ip in trusted

    # Choosing the protocol of a connection

    def upgrade(
        self,
        protocol: asyncio.Protocol,
        transport: asyncio.Transport,
        app_state: Any,
        data: bytes,
        usual: UsualRequest | None = None,
    ) -> None:
        """Pass a connection to the class of uvicorn's option ``ws=``.

        Args:
            protocol: the connection's present protocol.
            transport: of the connection.
            app_state: of the lifespan.
            data: the handshake, and whatever has come behind it.
            usual: what the handshake was taken apart to, if it was; then the protocol has left already.
        """
        if len(self.connections) - self.uncounted >= self.limits.max_connections and self.is_full:
            self.turn_away(protocol, transport, FULL)
            return
        make: type[Any] = self.config.ws_protocol_class  # type: ignore[assignment]  # its callers have looked
        if make is not self._upgraded:
            self._upgraded, self._is_own = make, issubclass(make, WebSocketProtocol)
        is_own = self._is_own
        if not is_own:
            data = with_lower_names(data)
        successor = make(config=self.config, server_state=self.state, app_state=app_state, _loop=self.loop)
        client = None if self.proxies is None else getattr(protocol, "client", None)
        if usual is not None and is_own:
            successor.begin(transport, data, usual, client)
            return
        self.deadlines.discard(protocol)  # type: ignore[arg-type]
        self.connections.discard(protocol)
        transport.set_protocol(successor)
        successor.connection_made(transport)
        if client is not None:
            successor.client = client
        successor.data_received(data)

    def refuse(self, protocol: asyncio.Protocol, transport: asyncio.Transport, error: HandshakeError) -> None:
        """Answer a request that cannot be served with an error, log it, and end the connection."""
        warn("request", "a request was refused: %s", error)
        self.turn_away(protocol, transport, error)

    def turn_away(self, protocol: asyncio.Protocol, transport: asyncio.Transport, error: HandshakeError) -> None:
        """Answer with an error and end the connection, without a line in the log."""
        self.deadlines.discard(protocol)  # type: ignore[arg-type]
        self.connections.discard(protocol)
        transport.write(response_error(error.status, error.headers, error.reason))
        RefusedConnection(self, transport)


class RefusedConnection(asyncio.Protocol):
    """A refused connection after its answer: ignores all bytes until the client closes, for at most a second."""

    is_idle: Final = True

    def __init__(self, reception: Reception, transport: asyncio.Transport) -> None:
        self._reception = reception
        self.transport = transport
        transport.set_protocol(self)
        self._timer = reception.loop.call_later(_LINGER, transport.abort)
        if transport.can_write_eof():
            transport.write_eof()
            reception.connections.add(self)
            reception.uncounted += 1
        else:  # TLS has a closing message of its own
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """See :meth:`asyncio.BaseProtocol.connection_lost`."""
        if self in self._reception.connections:
            self._reception.connections.discard(self)
            self._reception.uncounted -= 1
        self._timer.cancel()

    def shutdown(self) -> None:
        """The server is stopping (uvicorn calls this)."""
        self.transport.close()
