from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from odac.testing import TestClient
from tests.unit.testing.apps import make_app


def test_http() -> None:
    async def page(request: Request) -> Response:
        if request.method == "POST":
            return JSONResponse([request.headers["content-type"], (await request.body()).decode()], 201)
        response = JSONResponse({"q": request.query_params.get("q"), "cookie": request.cookies.get("seen")})
        response.set_cookie("seen", "yes")
        return response

    async def stream(request: Request) -> Response:
        async def parts() -> AsyncIterator[str]:
            for part in "abc":
                yield part

        return StreamingResponse(parts())

    api = FastAPI(routes=[Route("/page", page, methods=["GET", "POST"]), Route("/stream", stream)])
    with TestClient(make_app(http=api)) as client:
        answer = client.http.get("/page?q=a%20b")
        assert (answer.status, answer.json()) == (200, {"q": "a b", "cookie": None})
        assert answer.header("Content-Type") == "application/json"
        assert client.http.get("/page").json()["cookie"] == "yes"
        assert client.http.post("/page", json={"a": 1}).json() == ["application/json", '{"a":1}']
        assert client.http.post("/page", form={"a": "b c"}).json() == ["application/x-www-form-urlencoded", "a=b+c"]
        assert client.http.post("/page", content=b"x", headers={"Content-Type": "text/x"}).json() == ["text/x", "x"]
        assert client.http.request("DELETE", "/page").status == 405
        assert client.http.get("/stream").text == "abc"
        assert client.http.get("/odac/health").json()["status"] == "ok"


@pytest.mark.parametrize("headers", [{"X-A": "€"}, {"X-A": "1\r\nX-B: 2"}, {"X A": "1"}])
def test_headers_that_http_cannot_carry_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="that an HTTP header cannot carry"):
        TestClient(make_app(), headers=headers)
    with TestClient(make_app()) as client:
        with pytest.raises(ValueError, match="that an HTTP header cannot carry"):
            client.http.get("/", headers=headers)
        with pytest.raises(ValueError, match="that an HTTP header cannot carry"):
            client.connect("/echo", headers=headers)


@pytest.mark.parametrize("headers", ["X-A: 1", {"X-A": 1}, [("X-A", "1")]])
def test_headers_that_are_no_dict_of_text_are_refused(headers: Any) -> None:
    with pytest.raises(TypeError, match=r"headers: .*must be a "):
        TestClient(make_app(), headers=headers)
    with TestClient(make_app()) as client:
        with pytest.raises(TypeError, match=r"headers: .*must be a "):
            client.http.get("/", headers=headers)
        with pytest.raises(TypeError, match=r"headers: .*must be a "):
            client.connect("/echo", headers=headers)
