"""Every class for uvicorn's ``http=`` with every class for its ``ws=``: what the app gets of a handshake."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from odac import Odac
from odac.server import HttpProtocol, WebSocketProtocol
from tests.integration.harness import DEADLINE, OpenRoutes, Probe, Server, receive

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the oldest of these classes is deprecated
    importlib.import_module("uvicorn.protocols.websockets.websockets_impl")


HTTP: list[Any] = [HttpProtocol, "h11", "httptools", "auto"]
WS: list[Any] = [WebSocketProtocol, "websockets-sansio", "wsproto", "websockets", "auto"]


def name(protocol: Any) -> str:
    return protocol if isinstance(protocol, str) else "odac"


class Outside:
    """An ASGI app around Odac's that tells how the server spells the names of a handshake's headers."""

    def __init__(self, app: Odac, probe: Probe) -> None:
        self._app = app
        self._probe = probe

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            self._probe("names", [name for name, _ in scope["headers"]])
        await self._app(scope, receive, send)


@pytest.fixture(
    params=[(http, ws) for http in HTTP for ws in WS], ids=lambda pair: f"http-{name(pair[0])}-ws-{name(pair[1])}"
)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    http, ws = request.param
    app, probe = Odac(secret="x" * 40), Probe()
    route = OpenRoutes(app)

    @route("/seen")
    def seen(odac: Any) -> None:
        odac.ws.send([odac.request.header("x-mixed-case"), odac.request.cookie("a"), odac.request.secure])

    with Server(Outside(app, probe), probe=probe, http=http, ws=ws, proxy_headers=True) as running:
        yield running


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the oldest of uvicorn's classes
def test_headers_are_found_and_an_origin_is_checked(server: Server) -> None:
    headers = {"X-Mixed-Case": "Kept", "COOKIE": "a=1", "X-Forwarded-Proto": "https"}
    with server.connect("/seen", headers=headers) as client:
        assert receive(client) == ["Kept", "1", True]
    names = server.probe.get("names", DEADLINE)
    assert names == [each.lower() for each in names]
    with pytest.raises(InvalidStatus) as refused:
        server.connect("/seen", origin="http://evil.example")
    assert refused.value.response.status_code == 403
