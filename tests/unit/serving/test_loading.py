from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Host, Mount

from odac import Odac
from odac.serving.loading import find_odac_apps, load_and_check, load_app
from odac.serving.options import CannotStart, ServeOptions

SECRET = "a secret for the tests, and a long one"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Modules that are imported from here are forgotten afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("ODAC_BROKER", "")
    monkeypatch.delenv("ODAC_BROKER")
    yield tmp_path
    for name in ("loaded_once", "loaded_factory"):
        sys.modules.pop(name, None)


def test_an_app_is_imported_by_its_dotted_name(folder: Path) -> None:
    (folder / "loaded_once.py").write_text("class site:\n    async def app(scope, receive, send): ...\n")
    app = load_app("loaded_once:site.app", app_dir=str(folder))
    assert app.__name__ == "app"


def test_a_factory_is_called(folder: Path) -> None:
    (folder / "loaded_factory.py").write_text("from odac import Odac\ndef make():\n    return Odac()\n")
    assert isinstance(load_app("loaded_factory:make", factory=True, app_dir=str(folder)), Odac)
    with pytest.raises(CannotStart, match="--factory"):
        load_app("loaded_factory:make", app_dir=str(folder))


@pytest.mark.parametrize("target", ["chat", "chat:", ":app", "chat.py:app", "no_such_module:app", "sys:no_such_name"])
def test_what_cannot_be_loaded_is_a_sentence(target: str, folder: Path) -> None:
    with pytest.raises(CannotStart) as raised:
        load_app(target, app_dir=str(folder))
    assert target.partition(":")[0] in str(raised.value)


def test_apps_are_found_outermost_first() -> None:
    inner, hosted = Odac(SECRET), Odac(SECRET)
    site = Starlette(routes=[Mount("/rt", inner), Host("live.example.com", hosted)])
    outer = Odac(SECRET, http=site)
    assert [(each.app, each.path) for each in find_odac_apps(outer)] == [(outer, ""), (inner, "/rt"), (hosted, "")]


def test_an_app_that_contains_itself_is_found_once() -> None:
    class Middleware:
        app: Any

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    loop = Middleware()
    loop.app = loop
    assert find_odac_apps(loop) == []


def test_a_broker_of_the_options_comes_before_the_apps_own(folder: Path) -> None:
    app = Odac(SECRET, broker="redis://elsewhere")
    _, found = load_and_check(app, ServeOptions(broker="memory://"))
    assert found[0].app.broker_url == "memory://"
