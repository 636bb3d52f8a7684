"""Context variables that a handler sets are its own connection's."""

from __future__ import annotations

from contextvars import ContextVar

from odac import Context, Odac
from tests.integration.harness import OpenRoutes, Probe, Server, receive

WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


def build(probe: Probe) -> Odac:
    app = Odac()
    ws = OpenRoutes(app)

    @ws("/{name}")
    def handler(odac: Context) -> None:
        odac.ws.send(WHO.get())
        WHO.set("somebody")

    return app


def test_no_connection_sees_what_another_has_set(server: Server) -> None:
    for name in ("first", "second", "third"):
        with server.connect(f"/{name}") as client:
            assert receive(client) == "nobody"
