from __future__ import annotations

from typing import Any

import pytest

import odac.server
from odac.serving import run as run_module
from odac.serving.protocols.http import HttpProtocol
from odac.serving.protocols.websocket import WebSocketProtocol


def test_run_hands_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr(odac.server, "run_app", lambda app, **options: calls.append((app, options)))
    odac.server.run("chat:app", port=0, workers=2)
    assert calls == [("chat:app", {"port": 0, "workers": 2})]


def test_an_unknown_option_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "configure_logging", lambda *_, **__: None)
    with pytest.raises(TypeError, match="prot"):
        odac.server.run("chat:app", prot=0)  # type: ignore[call-arg]


def test_the_protocol_classes_for_uvicorn_are_exported() -> None:
    assert odac.server.HttpProtocol is HttpProtocol
    assert odac.server.WebSocketProtocol is WebSocketProtocol
