from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from odac import ConfigurationError, Odac
from odac.request import Request
from odac.testing import TestClient

STATIC_NAMES = ("docs", "docs.js", "docs.css", "docs.json")


def app(**options: Any) -> Odac:
    made = Odac(**{"secret": "x" * 32, **options})
    made.route.ws("/echo", lambda odac: None)
    return made


def statuses(made: Odac, headers: dict[str, str] | None = None) -> list[int]:
    with TestClient(made) as client:
        return [client.http.get(f"/odac/{name}", headers=headers).status for name in STATIC_NAMES]


def test_it_is_there_in_development_or_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ODAC_SECRET", raising=False)
    assert statuses(app()) == [404] * 4
    assert statuses(app(secret=None)) == [200] * 4
    assert statuses(app(secret=None, docs=False)) == [404] * 4
    assert statuses(app(docs=True)) == [200] * 4


@pytest.mark.parametrize("is_async", [True, False])
def test_a_function_may_say(is_async: bool) -> None:
    def check(request: Request) -> bool:
        return request.header("x-staff") == "yes"

    async def slow_check(request: Request) -> bool:
        await asyncio.sleep(0)
        return check(request)

    made = app(docs=slow_check if is_async else check)
    assert statuses(made) == [404] * 4
    assert statuses(made, {"x-staff": "yes"}) == [200] * 4


def test_only_those_who_may_see_it_are_told_of_it() -> None:
    def is_staff(request: Request) -> bool:
        return request.header("x-staff") == "yes"

    with TestClient(app(docs=is_staff)) as client:
        assert "Below this address are odac.js" in client.http.get("/odac/").text
        assert "Below this address are docs, odac.js" in client.http.get("/odac/", headers={"x-staff": "yes"}).text
    with TestClient(app(docs=False)) as client:
        assert "Below this address are odac.js" in client.http.get("/odac/").text


def test_what_it_is_made_of() -> None:
    with TestClient(app(docs=True, prefix="/rt")) as client:
        page = client.http.get("/rt/docs")
        policy = page.header("content-security-policy")
        assert policy is not None
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", page.text), "nothing comes from elsewhere"
        assert not re.findall(r"<script>|<style|style=|\son\w+=", page.text), "nothing is written into the page"
        facts = client.http.get("/rt/docs.json").json()
    assert facts["prefix"] == "/rt"
    assert [route["path"] for route in facts["routes"]] == ["/echo"]


def test_what_is_no_answer() -> None:
    wrong: Any = "yes"
    with pytest.raises(ConfigurationError, match="True, False, or a function"):
        app(docs=wrong)
