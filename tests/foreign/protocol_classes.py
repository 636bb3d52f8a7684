"""A pytest plugin for other projects' suites: puts Odac's classes where those would use uvicorn's, or none at all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from odac.server import HttpProtocol, WebSocketProtocol

from .exceptions import EXCEPTIONS

DEADLINE = 30.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what EXCEPTIONS names, with its reason; an entry that names no test of its suite is a mistake."""
    listed = EXCEPTIONS[os.environ["ODAC_FOREIGN_SUITE"]]
    used = set()
    for item in items:
        test = item.nodeid.rpartition("/")[2]
        for name, reason in listed.items():
            if test.startswith(name):
                used.add(name)
                item.add_marker(pytest.mark.skip(reason=reason))
    if unknown := sorted(listed.keys() - used):
        raise pytest.UsageError(f"exceptions that name no test: {unknown}")


# uvicorn


class Wire:
    """uvicorn's MockTransport with what a real transport has besides, and the protocol that it serves."""

    def __init__(self, mock: Any, protocol: Any) -> None:
        self.mock = mock
        self.protocol = protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self.mock, name)

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol
        self.mock.set_protocol(protocol)

    def get_protocol(self) -> Any:
        return self.protocol

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def abort(self) -> None:
        if not self.mock.closed:
            self.mock.close()


class MockedHttpProtocol:
    """The class for ``http=``, for tests that keep a connection's first protocol and use a mock as the transport."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        if _loop is not None and not hasattr(_loop, "time"):
            _loop.time = lambda: 0.0
        self._first: Any = HttpProtocol(config, server_state, app_state, _loop)
        self._wire: Any = None
        self.loop = self._first.reception.loop
        self.ws_protocol_class = config.ws_protocol_class

    @property
    def transport(self) -> Any:
        return self._wire.mock

    def connection_made(self, transport: Any) -> None:
        if not isinstance(transport, asyncio.BaseTransport) and hasattr(transport, "clear_buffer"):
            self._wire = Wire(transport, self._first)
            self._first.connection_made(self._wire)
        else:
            transport.set_protocol(self._first)
            self._first.connection_made(transport)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire.protocol if self._wire is not None else self._first, name)


def ws_class() -> Any:
    """For uvicorn's fixture ``ws_protocol_cls``."""
    return WebSocketProtocol


def http_class() -> Any:
    """For uvicorn's fixture ``http_protocol_cls``."""
    return MockedHttpProtocol


# Starlette and FastAPI: their TestClient calls the app itself; here a server with Odac's classes does.


class _Server(uvicorn.Server):
    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app, ws=WebSocketProtocol, http=HttpProtocol, log_config=None, lifespan="off", port=0, interface="asgi3"
            )
        )
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextlib.contextmanager
def serving(app: Any) -> Iterator[int]:
    server = _Server(app)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert server.listening.wait(DEADLINE)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(DEADLINE)
        assert not thread.is_alive()


class Session:
    """What TestClient.websocket_connect returns, over a real connection of an independent client."""

    def __init__(self, app: Any, url: str, subprotocols: Any, headers: dict[str, str]) -> None:
        self._app = app
        self._raised: BaseException | None = None
        self._url = url if "://" in url else "ws://testserver" + url
        self._subprotocols = subprotocols
        self._headers = headers
        self._stack = contextlib.ExitStack()

    async def _noted(self, scope: Any, receive: Any, send: Any) -> None:
        """The app, whose exception TestClient raises in the test."""
        try:
            await self._app(scope, receive, send)
        except BaseException as error:
            self._raised = error
            raise

    def __enter__(self) -> Session:
        port = self._stack.enter_context(serving(self._noted))
        try:
            self._client = self._stack.enter_context(
                connect(
                    self._url,
                    sock=socket.create_connection(("127.0.0.1", port), DEADLINE),
                    subprotocols=self._subprotocols or None,
                    additional_headers={"accept": "*/*", **self._headers},
                    compression=None,
                    user_agent_header="testclient",
                    proxy=None,
                )
            )
        except InvalidStatus as refused:
            self._stack.close()
            if self._raised is not None:
                raise self._raised from None
            response = refused.response
            if response.status_code == 403 and not response.body:
                raise WebSocketDisconnect(code=1000, reason="") from None
            denial: Any = WebSocketDenialResponse  # its base class depends on which of two HTTP clients is installed
            raise denial(
                status_code=response.status_code,
                headers=list(response.headers.raw_items()),
                content=bytes(response.body or b""),
            ) from None
        answer = self._client.response
        assert answer is not None
        self.accepted_subprotocol = self._client.subprotocol
        own = {"upgrade", "connection", "sec-websocket-accept", "date", "server", "sec-websocket-protocol"}
        self.extra_headers = [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in answer.headers.raw_items()
            if name.lower() not in own
        ]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        if self._raised is not None:
            raise self._raised

    def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.disconnect":
            self.close(message.get("code", 1000), message.get("reason", ""))
        else:
            self._client.send(message["text"] if message.get("text") is not None else message["bytes"])

    def send_text(self, data: str) -> None:
        self._client.send(data)

    def send_bytes(self, data: bytes) -> None:
        self._client.send(data)

    def send_json(self, data: Any, mode: str = "text") -> None:
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        self._client.send(text if mode == "text" else text.encode())

    def close(self, code: int = 1000, reason: str | None = None) -> None:
        self._client.close(code, reason or "")

    def receive(self) -> dict[str, Any]:
        try:
            data = self._client.recv(DEADLINE)
        except ConnectionClosed as closed:
            if closed.rcvd is None:
                raise
            return {"type": "websocket.close", "code": closed.rcvd.code, "reason": closed.rcvd.reason}
        return {"type": "websocket.send", "text" if isinstance(data, str) else "bytes": data}

    def _next(self) -> Any:
        message = self.receive()
        if message["type"] == "websocket.close":
            raise WebSocketDisconnect(message["code"], message["reason"])
        return message.get("text", message.get("bytes"))

    receive_text = receive_bytes = _next

    def receive_json(self, mode: str = "text") -> Any:
        return json.loads(self._next())


def _connect(client: Any, url: str, subprotocols: Any = None, **given: Any) -> Session:
    headers = {**dict(given.get("headers") or {})}
    cookies = {**dict(client.cookies), **dict(given.get("cookies") or {})}
    if cookies:
        headers["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    if "params" in given:
        url += "?" + "&".join(f"{name}={value}" for name, value in dict(given["params"]).items())
    return Session(client.app, url, subprotocols, headers)


TestClient.websocket_connect = _connect  # type: ignore[method-assign,assignment]
