"""A route in a variable: what is added to it, in which order, is one route of the app."""

from __future__ import annotations

from typing import Any

import pytest

from odac import ConfigurationError, Odac
from odac.routing.websocket_route import WebSocketRoute


def handler(odac: object) -> None: ...


def answer(odac: object, arguments: object) -> None: ...


def make() -> Odac:
    return Odac(secret="x" * 32)


def test_the_handler_may_come_first_last_or_never() -> None:
    app = make()
    first, last, never = (app.route.ws(path) for path in ("/first", "/last/{id}", "/never"))
    assert first(handler) is handler
    assert first.answer("a")(answer) is answer
    last.answer("a")(answer)
    last.answer("b")(answer)
    last(handler)
    never.answer("a")(answer)
    assert [(each.path, each.handler is handler, list(each.functions.answers)) for each in app.websocket_routes] == [
        ("/first", True, ["a"]),
        ("/last/{id}", True, ["a", "b"]),
        ("/never", False, ["a"]),
    ]


def test_a_route_that_nothing_was_hung_on_is_none() -> None:
    app = make()
    assert isinstance(app.route.ws("/nothing"), WebSocketRoute)
    assert app.websocket_routes == ()


@pytest.mark.parametrize("before", [True, False])
def test_a_second_handler_is_refused(before: bool) -> None:
    chat = make().route.ws("/chat")
    if before:
        chat.answer("a")(answer)
    chat(handler)
    with pytest.raises(ConfigurationError, match="has a route already"):
        chat(handler)


def test_a_late_handler_is_checked_as_an_early_one_is() -> None:
    chat = make().route.ws("/chat")
    chat.answer("a")(answer)
    wrong: Any = 7
    with pytest.raises(ConfigurationError, match="must be a function that takes odac"):
        chat(wrong)


def test_gates_and_options_belong_to_it() -> None:
    app = make()
    chat = app.route.auth.use(handler).ws("/chat", token=False, max_payload=100)
    chat.answer("a")(answer)
    chat(handler)
    (route,) = app.websocket_routes
    assert (route.needs_auth, route.needs_token, route.middleware) == (True, False, (handler,))
    assert route.policy.limits.max_payload == 100
