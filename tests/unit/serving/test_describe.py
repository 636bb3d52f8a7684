from __future__ import annotations

import sys
import types
from typing import Annotated

import pytest
from pydantic import Field

from odac import Odac, RateLimit
from odac.serving.describe import RouteRow, introduction, route_facts, route_rows, table
from odac.serving.loading import Found
from tests.unit.contract.desk import Ask, Busy

SECRET = "a secret for the tests, and a long one"


def handler(odac: object) -> None: ...


def checked(odac: object) -> None: ...


def found() -> Found:
    app = Odac(SECRET)
    app.route.ws("/open", handler, token=False)
    app.route.auth.use(checked).ws("/private", handler, rate_limit=RateLimit(5, 2), origins=["https://example.com"])
    return Found(app, "/rt")


def test_each_route_is_a_row() -> None:
    assert route_rows([found()]) == [
        RouteRow("/rt/open", "-", "-", "-"),
        RouteRow("/rt/private", "origin=https://example.com auth token", "checked", "rate_limit=5/2s"),
    ]


def test_types_are_named_as_in_the_code() -> None:
    app = Odac(SECRET)
    either = Annotated[Ask | Busy, Field(discriminator="kind")]
    app.route.ws("/desk", handler, token=False, message=either, sends=list[either])
    (row,) = route_rows([Found(app, "")])
    assert row.options == "message=Ask | Busy sends=list[Ask | Busy]"
    (facts,) = route_facts([Found(app, "")])
    assert facts["message"] == "Ask | Busy"
    assert facts["options"] == {"sends": "list[Ask | Busy]"}


def test_columns_are_as_wide_as_their_longest_cell() -> None:
    lines = table([RouteRow("/a", "auth token", "-", "-"), RouteRow("/longer", "-", "-", "raw=True")]).splitlines()
    assert [line.split()[0] for line in lines] == ["path", "/a", "/longer"]
    assert {lines[0].index("gates"), lines[1].index("auth"), lines[2].index("-")} == {len("/longer  ")}
    assert not any(line.endswith(" ") for line in lines)


def test_the_introduction_says_where_all_is() -> None:
    lines = introduction("chat:app", "http://127.0.0.1:8000", [found()], workers=3).splitlines()
    assert lines[0] == "chat:app on http://127.0.0.1:8000, 3 workers (Ctrl-C stops it)"
    assert lines[1].split() == ["client", "script", "http://127.0.0.1:8000/rt/odac/odac.js"]
    assert lines[2].split(maxsplit=1) == ["routes", "/rt/open"]
    assert "broker" not in "\n".join(lines), "memory:// is no news"


def test_many_routes_are_cut_and_none_is_said() -> None:
    app = Odac(SECRET)
    for number in range(25):
        app.route.ws(f"/{number}", handler)
    text = introduction("chat:app", "unix:/run/chat", [Found(app, "")])
    assert "and 5 more: odac routes chat:app" in text
    assert "client script  /odac/odac.js" in text
    assert "no WebSocket routes yet" in introduction("a:b", "-", [Found(Odac(SECRET), "")])
    assert introduction("a:b", "-", []).endswith("no Odac app in it: served as it is")


def test_where_the_app_inside_is_named_the_one_around_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = types.ModuleType("shop")
    shop.api, shop.app = object(), Odac(SECRET)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop", shop)
    assert "no Odac app in it: served as it is; did you mean shop:app" in introduction("shop:api", "-", [])
