from __future__ import annotations

import http.client
import socket
import threading
from typing import Any

import pytest

from odac.errors import OdacError
from odac.serving.options import ServeOptions
from odac.serving.process import serve
from odac.serving.uvicorn_server import Server

DEADLINE = 30


def listening() -> socket.socket:
    made = socket.create_server(("127.0.0.1", 0))
    made.setblocking(False)
    return made


def test_an_app_is_served_until_a_stop_signal() -> None:
    made = listening()
    port = made.getsockname()[1]
    servers: list[Server] = []
    answers: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"served"})

    def ask() -> None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
            connection.request("GET", "/", headers={"Connection": "close"})
            answers.append(connection.getresponse().read())
            connection.close()
        finally:
            servers[0].should_exit = True

    thread = threading.Thread(target=ask)
    serve(app, ServeOptions(), [made], tls=None, apps=[], started=thread.start, prepare=servers.append)
    thread.join(DEADLINE)
    assert answers == [b"served"]
    with pytest.raises(OSError, match=r"."):
        socket.create_connection(("127.0.0.1", port), DEADLINE)


def test_a_failed_start_raises() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no disk"})

    made = listening()
    with made, pytest.raises(OdacError, match="no disk"):
        serve(app, ServeOptions(), [made], tls=None, apps=[], started=lambda: pytest.fail("it has not started"))
