from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from odac import Odac
from odac.testing import TestClient
from tests.unit.testing.apps import SECRET


async def mirror(request: Request) -> JSONResponse:
    body = (await request.body()).decode()
    return JSONResponse([request.method, request.url.query, request.headers.get("x-key"), body])


@pytest.fixture
def app() -> Odac:
    methods = ["GET", "POST", "PUT"]
    return Odac(SECRET, http=Starlette(routes=[Route("/mirror", mirror, methods=methods)]))


def test_each_argument_arrives(app: Odac) -> None:
    with TestClient(app) as client:
        http = client.http
        assert http.get("/mirror?a=1", headers={"X-Key": "7"}).json() == ["GET", "a=1", "7", ""]
        assert http.post("/mirror", json={"b": 2}).json() == ["POST", "", None, '{"b":2}']
        assert http.post("/mirror", form={"c": "3"}).json() == ["POST", "", None, "c=3"]
        assert http.request("PUT", "/mirror", content=b"raw").json() == ["PUT", "", None, "raw"]
        assert http.get("/nowhere").status == 404


def test_it_needs_a_client_that_is_open(app: Odac) -> None:
    with TestClient(app) as client:
        pass
    with pytest.raises(RuntimeError, match="with TestClient"):
        client.http.get("/mirror")
