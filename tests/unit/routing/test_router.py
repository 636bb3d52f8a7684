from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from starlette.endpoints import WebSocketEndpoint

from odac.config import Limits, RateLimit
from odac.errors import ConfigurationError, InvalidMessage
from odac.routing.options import OPTIONS
from odac.routing.router import RouteBuilder, Router
from tests.ids import stable


def handler(odac: object) -> None: ...


def routes() -> tuple[Router, RouteBuilder]:
    router = Router(Limits(max_payload=1000))
    return router, RouteBuilder(router)


class Move(msgspec.Struct):
    x: int


# Adding


def test_a_call_and_a_decorator_give_the_function_back() -> None:
    router, route = routes()
    assert route.ws("/a", handler) is handler
    assert route.ws("/b")(handler) is handler
    assert [each.path for each in router.routes] == ["/a", "/b"]


def test_a_decorator_without_its_path_is_refused_with_how_it_is_written() -> None:
    _, route = routes()
    with pytest.raises(ConfigurationError, match=r'@app\.route\.ws\("/chat"\)'):
        route.ws(handler)  # type: ignore[call-overload]


def test_the_gates_of_a_route() -> None:
    router, route = routes()
    route.ws("/a", handler)
    route.auth.ws("/b", handler, token=False)
    route.use("x", handler).use("y").ws("/c", handler)
    route.use("auth", "x").ws("/d", handler)
    route.use("x").auth.use("y").ws("/e", handler)
    facts = [(each.needs_auth, each.needs_token, each.middleware) for each in router.routes]
    assert facts == [
        (False, True, ()),
        (True, False, ()),
        (False, True, ("x", handler, "y")),
        (True, True, ("x",)),
        (True, True, ("x", "y")),
    ]


def test_gates_are_values_that_can_be_kept() -> None:
    router, route = routes()
    staff = route.auth.use("x")
    staff.use("y")
    staff.ws("/a", handler)
    route.ws("/b", handler)
    assert [each.middleware for each in router.routes] == [("x",), ()]
    assert [each.needs_auth for each in router.routes] == [True, False]


def test_options_are_put_over_the_apps_limits() -> None:
    router, route = routes()
    route.ws("/default", handler)
    route.ws("/own", handler, max_payload=50, rate_limit=RateLimit(1, 2), overflow="drop_oldest")
    route.ws("/unlimited", handler, rate_limit=None)
    default, own, unlimited = (each.policy for each in router.routes)
    assert (default.limits.max_payload, default.limits.rate_limit, default.overflow) == (1000, RateLimit(100), "close")
    assert (own.limits.max_payload, own.limits.rate_limit, own.overflow) == (50, RateLimit(1, 2), "drop_oldest")
    assert unlimited.limits.rate_limit is None
    assert own.path == "/own"


def test_the_options_that_were_given_are_remembered_for_odac_routes() -> None:
    router, route = routes()
    route.ws("/a", handler)
    route.ws("/b", handler, token=False, rate_limit=None, raw=True, subprotocols=["mqtt"])
    assert [dict(each.options) for each in router.routes] == [
        {},
        {"token": False, "rate_limit": None, "raw": True, "subprotocols": ["mqtt"]},
    ]


def test_the_decoders() -> None:
    router, route = routes()
    route.ws("/json", handler)
    route.ws("/raw", handler, raw=True)
    route.ws("/typed", handler, message=Move)
    plain, raw, typed = (each.policy.decode for each in router.routes)
    assert plain(b'{"x": 1}') == {"x": 1}
    assert raw(b'{"x": 1}') == '{"x": 1}'
    assert typed(b'{"x": 1}') == Move(1)
    with pytest.raises(InvalidMessage, match=r"\$\.x"):
        typed(b'{"x": "1"}')


# Matching


def test_a_path_without_parameters_wins_then_the_first_that_fits() -> None:
    router, route = routes()
    for path in ("/{a}", "/fixed", "/{b:int}", "/x/{rest:path}"):
        route.ws(path, handler)

    def match(path: str) -> tuple[str, dict[str, Any]] | None:
        found = router.match(path)
        return None if found is None else (found[0].path, found[1])

    assert match("/fixed") == ("/fixed", {})
    assert match("/7") == ("/{a}", {"a": "7"})
    assert match("/x/y/z") == ("/x/{rest:path}", {"rest": "y/z"})
    assert match("/a/b") is None
    assert match("/") is None
    assert match("") is None


# Mistakes, each with a message that names the fix


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "begins with '/'"),
        ("chat", "begins with '/'"),
        (None, "begins with '/'"),
        (7, "begins with '/'"),
        ("/{a:nothing}", "nothing"),
        ("/{a}/{a}", "a"),
        ("/room/{id", "{name}"),
        ("/room/id}", "{name}"),
        ("/room/{id:}", "{name}"),
        ("/room?id=7", "odac.request.query"),
        ("/room#7", "odac.request.query"),
        ("/caf%C3%A9", "decoded"),
    ],
)
def test_paths_that_cannot_be(path: Any, why: str) -> None:
    _, route = routes()
    with pytest.raises(ConfigurationError, match=why):
        route.ws(path, handler)


@pytest.mark.parametrize("first", ["/room/{id}", "/room/{name:str}"])
def test_the_same_path_twice(first: str) -> None:
    _, route = routes()
    route.ws(first, handler)
    with pytest.raises(ConfigurationError, match="has a route already"):
        route.ws("/room/{other}", handler)
    route.ws("/room/{id:int}", handler)
    route.ws("/room/mine", handler)
    with pytest.raises(ConfigurationError, match="has a route already"):
        route.auth.ws("/room/mine", handler)


@pytest.mark.parametrize("not_callable", [None, 7, "handler", object(), ["x"]])
def test_a_handler_that_is_not_callable(not_callable: Any) -> None:
    _, route = routes()
    with pytest.raises(ConfigurationError, match="must be a function that takes odac"):
        route.ws("/a", not_callable)
    with pytest.raises(ConfigurationError, match="must be a function that takes odac"):
        route.ws("/a")(not_callable)


def test_a_handler_that_takes_too_much() -> None:
    _, route = routes()
    with pytest.raises(ConfigurationError, match=r"def greedy\(odac\)"):

        @route.ws("/a")
        def greedy(odac: object, more: object) -> None: ...


class Consumer:
    async def receive(self, text: str) -> None: ...


class FlexibleConsumer(Consumer):
    def __init__(self, *args: object, **kwargs: object) -> None: ...


class Works:
    def __init__(self, odac: object) -> None: ...

    def receive(self, data: object) -> None: ...


class PassesOn(Works):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class PassesScopeOn(WebSocketEndpoint):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


async def consumer(scope: object, receive: object, send: object) -> None: ...


@pytest.mark.parametrize(
    ("handler", "hint"),
    [
        (WebSocketEndpoint, "WebSocketEndpoint: it is a class.*async for data in odac.ws"),
        (Consumer, "Consumer: it is a class"),
        (FlexibleConsumer, "FlexibleConsumer: it is a class"),
        (PassesScopeOn, "PassesScopeOn: it is a class"),
        (consumer, r"an ASGI app: .* as Odac\(http=…\)"),
    ],
)
def test_a_handler_of_another_framework(handler: Any, hint: str) -> None:
    _, route = routes()
    with pytest.raises(ConfigurationError, match=hint):
        route.ws("/a", handler)
    with pytest.raises(ConfigurationError, match=hint):
        route.ws("/b")(handler)


@pytest.mark.parametrize("works", [Works, PassesOn, print, lambda odac: None])
def test_any_callable_that_takes_the_context_is_a_handler(works: Any) -> None:
    router, route = routes()
    route.ws("/a", works)
    assert router.match("/a") is not None


def test_a_handler_that_would_never_run() -> None:
    _, route = routes()

    async def feed(odac: object) -> Any:
        yield odac

    with pytest.raises(ConfigurationError, match=r"def feed\(odac\).*yield"):
        route.ws("/a", feed)


OPTION_MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"tokens": False}, r"unknown option tokens: did you mean 'token'\?"),
    ({"overflow": "block"}, "'close' or 'drop_oldest'"),
    ({"compression": "deflate"}, "must be True, False or None"),
    ({"raw": True, "message": Move}, "choose one"),
    ({"max_payload": 0}, "max_payload"),
    ({"max_payload": "1 MB"}, "max_payload"),
    ({"rate_limit": 5}, "RateLimit or None"),
    ({"subprotocols": "mqtt"}, r"must be a list: \['mqtt'\]"),
    ({"subprotocols": ["a b"]}, "cannot be a subprotocol"),
    ({"subprotocols": [7]}, "cannot be a subprotocol"),
    ({"subprotocols": ["odac.v1"]}, "Odac's own"),
    ({"subprotocols": ["odac-token-x"]}, "Odac's own"),
    ({"subprotocols": ["odac.auth"]}, "Odac's own"),
    ({"subprotocols": ["odac.resume"]}, "Odac's own"),
    ({"origins": ["example.com"]}, "^'/a': origins="),
    ({"origins": 7}, "must be a list"),
    ({"subprotocols": 7}, "must be a list"),
    ({"token": "no"}, "token='no' must be True or False"),
    ({"raw": 1}, "raw=1 must be True or False"),
    ({"rate_limit": RateLimit(1, 60)}, "^'/a': .*ping_interval"),
    ({"message": lambda: None}, "message"),
]


@pytest.mark.parametrize(("options", "why"), OPTION_MISTAKES, ids=lambda value: stable(value)[:40])
def test_options_that_cannot_be(options: dict[str, Any], why: str) -> None:
    router, route = routes()
    with pytest.raises(ConfigurationError, match=why):
        route.ws("/a", handler, **options)
    assert router.routes == []


def test_every_option_has_a_place_in_the_error() -> None:
    _, route = routes()
    with pytest.raises(ConfigurationError) as error:
        route.ws("/a", handler, nothing=1)  # type: ignore[call-overload]
    assert all(option in str(error.value) for option in OPTIONS)


@pytest.mark.parametrize("not_middleware", [7, None, ["x"]])
def test_use_takes_names_and_functions(not_middleware: Any) -> None:
    _, route = routes()
    with pytest.raises(ConfigurationError, match="a function or the name of one"):
        route.use(not_middleware)


def test_use_is_for_functions_of_any_kind() -> None:
    class Limiter:
        def __call__(self, odac: object) -> bool:
            return True

    router, route = routes()
    made: list[Callable[..., Any]] = [Limiter(), lambda odac: True, handler]
    route.use(*made).ws("/a", handler)
    assert router.routes[0].middleware == tuple(made)
