from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from odac.errors import BrokerError, ConfigurationError
from odac.http.publish import Publication, PublishEndpoint

KEY = "a-key-of-some-length"


def post(
    body: bytes | list[bytes],
    *,
    headers: dict[str, str] | None = None,
    keys: tuple[str, ...] = (KEY,),
    max_body: int = 1000,
    error: Exception | None = None,
) -> tuple[Response, list[Publication]]:
    published: list[Publication] = []

    def publish(publication: Publication) -> None:
        if error is not None:
            raise error
        published.append(publication)

    chunks = [body] if isinstance(body, bytes) else body

    async def receive() -> dict[str, Any]:
        if not chunks:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    given = {"authorization": f"Bearer {KEY}"} if headers is None else headers
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/odac/publish",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
    }
    return asyncio.run(PublishEndpoint(publish, keys, max_body).answer(Request(scope, receive))), published


@pytest.mark.parametrize(
    ("content", "publication"),
    [
        ({"room": "news", "data": {"text": "hi"}}, Publication(("news",), {"text": "hi"})),
        ({"rooms": ["a", "b"], "data": None}, Publication(("a", "b"), None)),
        ({"broadcast": True, "data": [1]}, Publication((), [1])),
        ({"room": "ü *>.", "data": "text"}, Publication(("ü *>.",), "text")),
    ],
)
def test_a_publication_is_handed_on(content: dict[str, Any], publication: Publication) -> None:
    response, published = post(json.dumps(content).encode())
    assert response.status_code == 202
    assert published == [publication]


def test_an_async_publish_is_awaited() -> None:
    done: list[Publication] = []

    async def publish(publication: Publication) -> None:
        await asyncio.sleep(0)
        done.append(publication)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b'{"room": "a", "data": 1}', "more_body": False}

    headers = [(b"authorization", f"bearer {KEY}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    response = asyncio.run(PublishEndpoint(publish, [KEY], 1000).answer(Request(scope, receive)))
    assert response.status_code == 202
    assert done == [Publication(("a",), 1)]


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {KEY}",
        KEY,
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        f"Bearer{KEY}",
        "Bearer \xff",
    ],
)
def test_without_the_key_nothing_is_read_or_sent(authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    response, published = post(b'{"room": "a", "data": 1}', headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert published == []


def test_a_broker_that_is_away_is_not_the_callers_fault() -> None:
    response, _ = post(b'{"room": "a", "data": 1}', error=BrokerError("The broker is away."))
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert b"The broker is away." in response.body


def test_any_of_several_keys_will_do() -> None:
    for key in (KEY, "another-key-of-length"):
        response, _ = post(
            b'{"room": "a", "data": 1}',
            headers={"authorization": f"Bearer {key}"},
            keys=(KEY, "another-key-of-length"),
        )
        assert response.status_code == 202


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"room": "a"}', '"data" is missing'),
        (b'{"data": 1}', "Exactly one of"),
        (b'{"room": "a", "rooms": ["b"], "data": 1}', "Exactly one of"),
        (b'{"rooms": [], "data": 1}', "at least one"),
        (b'{"rooms": "a", "data": 1}', "at least one"),
        (b'{"rooms": ["a", 1], "data": 1}', "at least one"),
        (b'{"room": "", "data": 1}', "must be a room's name"),
        (b'{"room": ["a"], "data": 1}', "must be a room's name"),
        (b'{"room": "\\u0001user:7", "data": 1}', "control character"),
        (b'{"room": null, "data": 1}', "must be a room's name"),
        (b'{"broadcast": false, "data": 1}', "must be true"),
        (b'{"broadcast": 1, "data": 1}', "must be true"),
        (b'{"room": "a", "data": 1, "exclude": "b"}', "'exclude'"),
        (b'{"room": "\\ud800", "data": 1}', "not JSON"),
        (b'{"room": "a", "data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not JSON"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_wrong_with_a_body_is_said(body: bytes, says: str) -> None:
    response, published = post(body, max_body=1_000_000)
    assert response.status_code == 400
    assert says in bytes(response.body).decode()
    assert published == []


def test_what_the_app_refuses_is_said() -> None:
    response, _ = post(b'{"room": "a", "data": 1}', error=ValueError("room name 'a' is too short"))
    assert response.status_code == 400
    assert bytes(response.body) == b"room name 'a' is too short\n"


def test_a_body_is_bounded_as_declared_and_as_it_comes() -> None:
    content = json.dumps({"room": "a", "data": "x" * 2000}).encode()
    declared = {"authorization": f"Bearer {KEY}", "content-length": str(len(content))}
    for response, published in (
        post(content, headers=declared),
        post(content),
        post([content[:900], content[900:1800], content[1800:]]),
        post(content, headers=declared | {"content-length": "9" * 5000}),
    ):
        assert response.status_code == 413
        assert published == []


def test_a_body_that_ends_early_sends_nothing() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    def publish(publication: Publication) -> None:
        raise AssertionError(publication)

    headers = [(b"authorization", f"Bearer {KEY}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    response = asyncio.run(PublishEndpoint(publish, [KEY], 1000).answer(Request(scope, receive)))
    assert response.status_code == 400


@given(st.binary(max_size=100))
def test_whatever_comes_is_answered(body: bytes) -> None:
    response, published = post(body)
    assert response.status_code == 400
    assert published == []


@pytest.mark.parametrize("keys", [["short"], ["a-key-of-some-length", ""], "short"])
def test_a_short_key_is_refused_with_how_to_make_one(keys: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"token_urlsafe\(32\)"):
        PublishEndpoint(print, keys, 1000)
