"""The class for uvicorn's option ``ws=``: does the handshake; the connection then goes to Odac or another app."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

from odac.close_codes import CloseCode
from odac.config import Limits
from odac.errors import HandshakeError
from odac.lanes.base import BEGINS_WITHOUT_TASK, LANE_EXTENSION
from odac.lanes.direct import DirectLane
from odac.notices import mistaken, raised, warn
from odac.protocol.message import Prepared
from odac.realtime.connection import Connection
from odac.realtime.taskless import begin
from odac.serving.protocols.access import AccessLog
from odac.serving.protocols.asgi_websocket import AsgiWebSocket, ClientGone
from odac.serving.protocols.request_head import origin_form
from odac.wire import deflate
from odac.wire.handshake import (
    SUBPROTOCOL,
    accept_value,
    offered_subprotocols,
    response_101,
    response_error,
    upgrade_key,
    usual_offer,
    usual_response,
)
from odac.wire.headers import MAX_LIST
from odac.wire.request import Headers, UsualRequest, parse_request, usual_request

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from odac.realtime.hub import Hub
    from odac.realtime.policy import Policy

__all__ = ["WebSocketProtocol"]

_END_OF_HEAD = b"\r\n\r\n"
_NO_OPCODE = 0xF


class WebSocketProtocol(asyncio.Protocol):
    """A WebSocket handshake under uvicorn: ``uvicorn --ws odac.server:WebSocketProtocol module:app``.

    An Odac app finds ``odac.lane`` among the scope's extensions and takes the connection over. For any other app this
    is a complete ASGI WebSocket server, with uvicorn's own settings (``ws_max_size``, ``ws_ping_interval``, …).
    """

    __slots__ = (
        "_access",
        "_answered",
        "_at_once",
        "_context",
        "_extensions",
        "_gone",
        "_has_lane",
        "_headers",
        "_key",
        "_opened",
        "_received",
        "_sending",
        "_session",
        "app_state",
        "client",
        "config",
        "connections",
        "default_headers",
        "loop",
        "tasks",
        "transport",
    )

    limits: ClassVar[Limits] = Limits()
    """Bounds on the request itself; ``odac run`` replaces them by its app's."""

    transport: asyncio.Transport

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self.config = config
        self.loop = _loop or asyncio.get_running_loop()
        self.connections: set[Any] = server_state.connections
        self.tasks = server_state.tasks
        self.default_headers = server_state.default_headers
        self.app_state = app_state
        self.client: tuple[str, int] | None = None  # set if a proxy has named it by the PROXY protocol
        self._access: AccessLog | None = None
        self._headers: Headers | None = None  # set when the head has been read
        self._key = b""
        self._received = b""  # the incomplete head; afterwards bytes that arrived before the answer
        self._session: AsgiWebSocket | None = None
        self._context: Context | None = None  # of the code that answers the handshake, and later of the connection
        self._at_once = False  # while the app answers without a task
        self._opened: Connection | None = None  # the connection that it has opened meanwhile
        self._answered = False
        self._has_lane = False  # which the transport belongs to from then on
        self._sending: asyncio.TimerHandle | None = None  # set while a client reads nothing of an HTTP answer
        self._gone = False
        self._extensions: dict[str, Any] = {}  # of the scope

    # Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :meth:`asyncio.BaseProtocol.connection_made`."""
        self.transport = transport  # type: ignore[assignment]
        self.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """See :meth:`asyncio.Protocol.data_received`."""
        if self._answered:
            if self._session is not None:
                self._session.data_received(data)
            return
        self._received += data
        if self._headers is None:
            self._read_head()
        elif len(self._received) > self.limits.max_header_bytes:
            self.transport.pause_reading()  # until the app has answered

    def eof_received(self) -> None:
        """See :meth:`asyncio.Protocol.eof_received`."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See :meth:`asyncio.BaseProtocol.connection_lost`."""
        self._gone = True
        if self._access is not None:
            self._access.ended(self._session.close_code if self._session is not None else CloseCode.ABNORMAL)
        self._stop_limiting()
        self.connections.discard(self)
        if self._session is not None:
            self._session.connection_lost()

    def pause_writing(self) -> None:
        """See :meth:`asyncio.BaseProtocol.pause_writing`."""
        if self._session is not None:
            self._session.pause_writing()
            if self._session.is_denying:
                self._limit_sending()

    def resume_writing(self) -> None:
        """See :meth:`asyncio.BaseProtocol.resume_writing`."""
        self._stop_limiting()
        if self._session is not None:
            self._session.resume_writing()

    @property
    def is_answered(self) -> bool:
        """Whether the handshake has its answer."""
        return self._answered

    def shutdown(self) -> None:
        """The server is stopping (uvicorn calls this)."""
        if self._session is not None:
            self._session.shutdown()
        else:
            self.respond(503, [(b"retry-after", b"1")], b"The server is stopping.")

    # Handshake

    def begin(
        self, transport: asyncio.Transport, data: bytes, usual: UsualRequest, client: tuple[str, int] | None
    ) -> None:
        """Take a handshake whose head has been taken apart already, in place of ``connection_made``.

        The transport is this protocol's only if the handshake has no lane afterwards: most have one at once, and each
        change of the protocol costs the event loop two system calls.

        Args:
            transport: of the connection, and still another protocol's.
            data: all that was received.
            usual: what :func:`odac.wire.request.usual_request` has made of it.
            client: the client's address, where a proxy has named it by the PROXY protocol.
        """
        self.transport = transport
        self.client = client
        target, self._headers, self._key, end = usual
        if end < len(data):
            self._received = data[end:]
        try:
            scope = self._scope(target, self._headers)
        except HandshakeError as error:
            self._refuse_head(error)
        else:
            self._call(scope, is_ours=True)
        if not self._has_lane:
            self.connections.add(self)
            transport.set_protocol(self)

    def _read_head(self) -> None:
        limits = self.limits
        try:
            usual = usual_request(self._received, limits.max_headers, limits.max_header_bytes, MAX_LIST)
            if usual is not None:
                target, self._headers, self._key, end = usual
            else:
                end = self._received.find(_END_OF_HEAD) + len(_END_OF_HEAD)
                if end < len(_END_OF_HEAD) and len(self._received) <= 2 * limits.max_header_bytes:
                    return
                head = parse_request(
                    self._received, max_headers=limits.max_headers, max_header_bytes=limits.max_header_bytes
                )
                self._key = upgrade_key(head)
                target, self._headers = head.target, head.headers
            scope = self._scope(target, self._headers)
        except HandshakeError as error:
            self._refuse_head(error)
            return
        self._received = self._received[end:]
        # uvicorn's own HTTP protocols replace themselves by this one only afterwards; a lane must not do so earlier.
        self._call(scope, is_ours=self.transport.get_protocol() is self)

    def _refuse_head(self, error: HandshakeError) -> None:
        warn("request", "a handshake was refused: %s", error)
        self.refuse_now(error.status, error.reason, error.headers)

    def _call(self, scope: dict[str, Any], *, is_ours: bool) -> None:
        """Let the app answer.

        Args:
            scope: of the handshake.
            is_ours: whether a lane may take the transport already.
        """
        if self.config.access_log and AccessLog.is_on(True):
            self._access = AccessLog(scope)
        # uvloop's callbacks share one context among all connections.
        self._context = copy_context()
        app: Any = self.config.loaded_app
        if is_ours and getattr(app, BEGINS_WITHOUT_TASK, False):
            task = self._run_at_once(app, scope)
            if task is None:
                return
        else:
            task = self.loop.create_task(self._run(app, scope), context=self._context)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _run_at_once(self, app: Any, scope: dict[str, Any]) -> asyncio.Task[None] | None:
        """Let the app answer; the task is what goes on where it has to wait."""
        context = self._context
        assert context is not None
        self._at_once = True
        task = None
        try:
            rest = context.run(app.begin_handshake, scope, self)
        except BaseException as error:
            context.run(self._failed, error)
        else:
            if rest is not None:
                task = begin(self._run(app, scope, rest), self.loop, context)
            elif not self._answered:
                self._returned(scope)
        self._at_once = False
        if self._opened is not None:
            # What the gates and the handler sent goes out with the answer, in one system call.
            opened, self._opened = self._opened, None
            opened.outbox.uncork()
        return task

    def _scope(self, target: bytes, headers: Headers) -> dict[str, Any]:
        transport, config = self.transport, self.config
        if target[:1] != b"/":
            host, target = origin_form(target)
            if host is not None:
                headers[:] = [(name, host if name == b"host" else value) for name, value in headers]
            if target[:1] != b"/":
                raise HandshakeError(400, "the request line must name a path that begins with a slash")
        path, query = target, b""
        if b"?" in target:
            path, _, query = target.partition(b"?")
        decoded = path.decode("ascii")
        if "%" in decoded:
            decoded = unquote(decoded)
        root_path: str = config.root_path
        if root_path:
            decoded = root_path + decoded
            path = root_path.encode("ascii") + path
        info = transport.get_extra_info
        extensions = self._extensions = {"websocket.http.response": {}, LANE_EXTENSION: self}
        client, server = self.client or info("peername"), info("sockname")
        offered = usual_offer(headers)
        return {
            "type": "websocket",
            "asgi": {"version": "2.0" if config.interface == "asgi2" else "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if info("sslcontext") else "ws",
            # Of IPv4, an address is as it is to be.
            "server": server if type(server) is tuple and len(server) == 2 else _address(server),
            "client": client if type(client) is tuple and len(client) == 2 else _address(client),
            "root_path": root_path,
            "path": decoded,
            "raw_path": path,
            "query_string": query,
            "headers": headers,
            "subprotocols": offered_subprotocols(headers) if offered is None else offered,
            "state": self.app_state.copy(),
            "extensions": extensions,
        }

    async def _run(
        self, app: Callable[..., Awaitable[object]], scope: dict[str, Any], rest: Awaitable[object] | None = None
    ) -> None:
        try:
            if not self._at_once and self.transport.get_protocol() is not self:
                await asyncio.sleep(0)  # an eager task factory runs this before uvicorn has passed on the transport
            await (app(scope, self.receive, self.send) if rest is None else rest)
        except ClientGone:
            self._end(CloseCode.NORMAL, "")
        except BaseException as error:
            self._failed(error)
        else:
            self._returned(scope)

    def _failed(self, error: BaseException) -> None:
        raised("Exception in ASGI application", error)
        self._end(CloseCode.INTERNAL_ERROR, "internal error")

    def _returned(self, scope: dict[str, Any]) -> None:
        """The app's call for the connection has returned."""
        if not self._answered and not self._gone:
            path = scope["path"][:200]
            mistaken("unanswered", "the ASGI app returned without answering the handshake for %r", path)
        if self._session is not None or not self._answered:
            self._end(CloseCode.NORMAL, "")

    def _end(self, code: CloseCode, reason: str) -> None:
        if self._session is not None:
            self._session.end(code, reason)
        else:
            self.respond(500, (), b"Internal Server Error")

    # The direct lane: see odac.lanes.base.PendingHandshake

    async def refuse(self, status: int, reason: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Answer with an HTTP status instead of the upgrade."""
        self.refuse_now(status, reason, headers)

    async def open(
        self, hub: Hub, policy: Policy, subprotocol: str | None, *, speaks_odac: bool, compression: bool
    ) -> Connection | None:
        """Upgrade, and pass the transport to a direct lane."""
        return self.open_now(hub, policy, subprotocol, speaks_odac, compression)

    def refuse_now(self, status: int, reason: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """See :meth:`refuse`."""
        self.respond(status, [(name.lower().encode(), value.encode()) for name, value in headers], reason.encode())

    def open_now(
        self, hub: Hub, policy: Policy, subprotocol: str | None, speaks_odac: bool, compression: bool
    ) -> Connection | None:
        """See :meth:`open`."""
        if self._gone or self.transport.is_closing():
            return None
        negotiated = self.negotiate() if compression else None
        self._answered = self._has_lane = True
        # A handler may keep the scope (a closure over odac does): then this must not stay with it.
        del self._extensions[LANE_EXTENSION]
        lane = DirectLane(self.transport, policy.limits, negotiated, self.connections)
        connection = Connection(hub, lane, policy, speaks_odac=speaks_odac)
        lane.attach(connection)
        connection.context, self._context = self._context, None  # it may come to refer to the request, and so to this
        if self._access is not None:
            self._access.answered(101)
            connection.call_on_release(self._access.ended)
        if self._at_once:
            connection.outbox.cork()
            self._opened = connection
        connection.put(_Upgrade(self._response(subprotocol, negotiated.response if negotiated else None, ())))
        self.connections.discard(self)
        if self._received:
            early, self._received = self._received, b""
            # The loop may already have read more bytes: they must wait until these have been handled.
            self.transport.pause_reading()
            self.loop.call_soon(_take_early, self.transport, lane, early)
        return connection

    async def serve(self, connection: Connection, handling: Coroutine[Any, Any, None]) -> None:
        """Await the handler; no task remains when it returns."""
        await handling

    # Plain ASGI: see odac.serving.protocols.asgi_websocket.ServerProtocol

    def upgrade(self, subprotocol: str | None, extensions: str | None, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Answer with the upgrade; return the bytes that the client has sent already."""
        self._answered = True
        if self._access is not None:
            self._access.answered(101)
        self.transport.write(self._response(subprotocol, extensions, headers))
        early, self._received = self._received, b""
        return early

    def _response(
        self, subprotocol: str | None, extensions: str | None, headers: Sequence[tuple[bytes, bytes]]
    ) -> bytes:
        own = self.default_headers
        # uvicorn always has a date, which no upgrade needs.
        is_usual = extensions is None and not headers and (not own or (len(own) == 1 and own[0][0] == b"date"))
        if is_usual and (subprotocol is None or subprotocol == SUBPROTOCOL):
            return usual_response(self._key, subprotocol is not None)
        if own:
            headers = [*(header for header in own if header[0] != b"date"), *headers]
        return response_101(accept_value(self._key), subprotocol, extensions, headers)

    def respond(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer with an HTTP status, and close the connection."""
        if not self._answered and not self.transport.is_closing():
            self._answered = True
            if self._access is not None:
                self._access.answered(status)
            self.transport.write(response_error(status, [*self.answer_headers, *headers], body))
            self._end_answer()

    @property
    def answer_headers(self) -> list[tuple[bytes, bytes]]:
        """The server's own headers of an HTTP answer."""
        return [header for header in self.default_headers if header[0] == b"date"]

    def pass_on(self, status: int, data: bytes, *, last: bool) -> None:
        """Send a part of an HTTP answer; close the connection after the last one."""
        if not self.transport.is_closing():
            if self._access is not None and not self._answered:
                self._access.answered(status)
            self._answered = True
            self.transport.write(data)
            if last:
                self._end_answer()

    def _end_answer(self) -> None:
        """Close the connection after an HTTP answer; a client that does not read the answer is cut off."""
        self.transport.close()
        self._limit_sending()

    def _limit_sending(self) -> None:
        if self._sending is None and self.transport.get_write_buffer_size():
            self._sending = self.loop.call_later(self.limits.handshake_timeout, self.transport.abort)

    def _stop_limiting(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def negotiate(self) -> deflate.Negotiated | None:
        """The parameters of permessage-deflate that the server accepts from the client's offer, or None."""
        assert self._headers is not None
        offers = [value.decode("latin-1") for name, value in self._headers if name == b"sec-websocket-extensions"]
        return deflate.negotiate(offers) if offers else None

    def _plain(self) -> AsgiWebSocket:
        if self._session is None:
            self._session = AsgiWebSocket(self)
            if self._gone:
                self._session.connection_lost()
        return self._session

    async def receive(self) -> dict[str, Any]:
        """The next message of plain ASGI."""
        return await self._plain().receive()

    async def send(self, message: dict[str, Any]) -> None:
        """Take a message of plain ASGI."""
        await self._plain().send(message)


class _Upgrade(Prepared):
    """The answer to the handshake, as the first message of the connection."""

    __slots__ = ()

    def __init__(self, response: bytes) -> None:
        self.opcode = _NO_OPCODE
        self.payload = b""
        self._frames = self._text = self.escaped = None
        self.frame = response


def _take_early(transport: asyncio.Transport, lane: DirectLane, data: bytes) -> None:
    transport.resume_reading()
    lane.data_received(data)


def _address(address: Any) -> tuple[str, int | None] | None:
    if isinstance(address, (tuple, list)):
        return str(address[0]), int(address[1])
    return (address, None) if isinstance(address, str) and address else None
