"""The figures of an app, as Prometheus gets them."""

from __future__ import annotations

from dataclasses import fields

from prometheus_client import CollectorRegistry, generate_latest

from odac import Context, History, Limits, Odac, Presence
from odac.metrics import OdacCollector
from odac.notices import limit_met
from odac.testing import TestClient


def make_app() -> Odac:
    app = Odac(secret="a secret of thirty-two characters, or more")

    @app.route.ws("/room")
    def room(odac: Context) -> None:
        odac.ws.join("kitchen")

    return app


def scraped(registry: CollectorRegistry) -> dict[str, float]:
    lines = generate_latest(registry).decode().splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if not line.startswith("#")}


def test_the_figures_follow_the_app() -> None:
    app = make_app()
    registry = CollectorRegistry()
    registry.register(OdacCollector(app))
    with TestClient(app) as client:
        assert scraped(registry)["odac_connections"] == 0
        with client.connect("/room"), client.connect("/room"):
            client.settle()
            figures = scraped(registry)
            assert figures["odac_connections"] == 2
            assert figures["odac_rooms"] == 1
            assert figures["odac_healthy"] == 1
            assert figures["odac_overflows_total"] == 0
            assert figures["odac_broker_lost_total"] == 0
        client.settle()
        assert scraped(registry)["odac_connections"] == 0


def test_every_figure_has_a_sentence() -> None:
    app = make_app()
    app.rooms("kitchen", history=History(), presence=Presence())
    registry = CollectorRegistry()
    registry.register(OdacCollector(app, prefix="chat"))
    with TestClient(app):
        text = generate_latest(registry).decode()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    assert "chat_connections" in names
    assert "chat_broker_outages_total" in names
    assert {"chat_presence_away", "chat_presence_garbage_total", "chat_history_gaps_total"} <= names


def test_limits_are_counted_by_their_names() -> None:
    registry = CollectorRegistry()
    registry.register(OdacCollector(make_app()))
    limit_met("max_payload", "too large")
    figures = scraped(registry)
    assert figures['odac_limit_hits_total{limit="max_payload"}'] == 1
    assert {name for name in figures if "limit_hits_total" in name} == {
        f'odac_limit_hits_total{{limit="{field.name}"}}' for field in fields(Limits)
    }


def test_an_app_that_has_not_started_can_be_asked() -> None:
    assert make_app().figures()["connections"] == 0
