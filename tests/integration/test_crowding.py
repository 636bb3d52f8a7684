"""The limits on the number of connections, in all and from one address."""

from __future__ import annotations

from typing import Any

import pytest

from odac import Context, Limits, Odac
from tests.integration.harness import OpenRoutes, Server, closing, everybody, receive


def app_with(**limits: Any) -> Odac:
    app = Odac(secret="x" * 32, limits=Limits(**limits))
    ws = OpenRoutes(app)
    ws("/stay")(lambda odac: odac.ws.send("welcome"))

    @app.middleware("no")
    def no(odac: Context) -> bool:
        return False

    app.route.use("no").ws("/refused", lambda odac: None, token=False)
    return app


@pytest.fixture(params=["direct", "asgi"])
def lane(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("limit", ["max_connections", "connections_per_ip"])
def test_one_too_many_is_503_until_another_leaves(lane: Any, limit: str, caplog: pytest.LogCaptureFixture) -> None:
    with Server(app_with(**{limit: 2}), lane=lane) as server:
        with everybody(server.connect("/stay"), server.connect("/stay")) as (one, two):
            assert [receive(one), receive(two)] == ["welcome", "welcome"]
            with server.raw() as raw:
                raw.handshake("/stay")
                status, headers = raw.answer()
            assert (status, headers["retry-after"]) == (503, "5")
            assert limit in caplog.text
            assert server.http("GET", "/odac/health").status == 200
        server.wait_until_empty()
        with everybody(server.connect("/stay"), server.connect("/stay")) as (one, two):
            assert [receive(one), receive(two)] == ["welcome", "welcome"]


@pytest.mark.parametrize("limit", ["max_connections", "connections_per_ip"])
def test_a_client_refused_after_the_upgrade_is_not_counted_for_ever(lane: Any, limit: str) -> None:
    with Server(app_with(**{limit: 2}), lane=lane) as server:
        for _ in range(5):
            with server.connect("/refused") as client:
                assert closing(client)[0] == 4003
            with server.raw() as raw:
                raw.handshake("/stay")
                raw.reset()
            server.wait_until_empty()
        with everybody(server.connect("/stay"), server.connect("/stay")) as (one, two):
            assert [receive(one), receive(two)] == ["welcome", "welcome"]
