from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from odac import Odac
from odac.serving import run as run_module
from odac.serving.options import CannotStart, ServeOptions
from odac.serving.run import run_app

SECRET = "a secret for the tests, and a long one"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would be served, instead of serving it."""
    calls: list[dict[str, Any]] = []

    def serve(app: Any, options: ServeOptions, sockets: Any, **further: Any) -> None:
        calls.append({"app": app, "port": sockets[0].getsockname(), **further})

    monkeypatch.setattr(run_module, "configure_logging", lambda *_, **__: None)
    monkeypatch.setattr(run_module, "serve", serve)
    return calls


def test_one_process_serves_here_and_closes_its_sockets(served: list[dict[str, Any]], tmp_path: Path) -> None:
    app = Odac(SECRET)
    path = tmp_path / "socket"
    run_app(app, uds=str(path), exiting=True)
    (call,) = served
    assert call["app"] is app
    assert call["port"] == str(path)
    assert call["exiting"] is True
    assert not path.exists(), "the socket's file is removed"


@pytest.mark.parametrize("options", [{"workers": 2}, {"reload": True}])
def test_other_processes_need_the_apps_name(served: list[dict[str, Any]], options: dict[str, Any]) -> None:
    with pytest.raises(CannotStart, match=r"run\('module:app'"):
        run_app(Odac(SECRET), **options)
    assert served == []


def test_workers_are_started_from_the_main_thread_only(served: list[dict[str, Any]]) -> None:
    raised: list[BaseException] = []

    def call() -> None:
        try:
            run_app("chat:app", workers=2)
        except CannotStart as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(30)
    assert "main thread" in str(raised[0])


def test_a_supervisor_gets_a_secret_for_its_workers(
    served: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, Any, bool]] = []

    class Supervisor:
        def __init__(self, app: str, options: Any, ports: Any, environment: Any, *, own_secret: bool) -> None:
            given.append((app, environment, own_secret))

        async def run(self) -> None: ...

    monkeypatch.setattr("odac.serving.supervisor.Supervisor", Supervisor)
    monkeypatch.setenv("ODAC_SECRET", "")
    run_app("chat:app", workers=2, port=0, broker="memory://")
    monkeypatch.setenv("ODAC_SECRET", SECRET)
    run_app("chat:app", workers=2, port=0, broker="memory://")
    (_, made, own), (_, kept, theirs) = given
    assert own
    assert made["ODAC_SECRET"] == ""  # what the app reads as the user's own stays so
    assert len(made["ODAC_WORKERS_SECRET"]) >= 32
    assert not theirs
    assert kept["ODAC_SECRET"] == SECRET
    assert "ODAC_WORKERS_SECRET" not in kept
