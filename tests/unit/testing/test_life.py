from __future__ import annotations

from typing import Any

import pytest

from odac.testing import TestClient
from tests.unit.testing.apps import make_app


def test_an_app_that_does_not_start() -> None:
    app = make_app()
    app.route.use("misspelt").ws("/x", lambda odac: None)
    with pytest.raises(RuntimeError, match=r"did not start.*misspelt"), TestClient(app):
        pytest.fail("it started")
    with pytest.raises(RuntimeError, match="has not started"):
        TestClient(make_app()).connect("/echo")
    with pytest.raises(ValueError, match="base_url"):
        TestClient(app, base_url="testserver")


def test_an_app_without_lifespan() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] != "lifespan"
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    with TestClient(app) as client:
        assert client.http.get("/").status == 204
