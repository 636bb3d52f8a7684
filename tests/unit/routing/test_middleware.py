from __future__ import annotations

from typing import Any

import pytest

from odac.errors import ConfigurationError
from odac.routing.middleware import MiddlewareRegistry


def test_a_registered_function_is_given_back_and_found() -> None:
    registry = MiddlewareRegistry()

    def check(odac: object) -> bool:
        return True

    assert registry.register("check")(check) is check
    assert registry.resolve("check", "/a") == ("check", check)


def test_a_function_goes_by_its_own_name() -> None:
    def check(odac: object) -> None: ...

    assert MiddlewareRegistry().resolve(check, "/a") == ("check", check)


def test_one_that_takes_no_argument_is_called_without() -> None:
    _, function = MiddlewareRegistry().resolve(lambda: "verdict", "/a")
    assert function("odac") == "verdict"


def test_an_unknown_name_says_what_to_add_and_what_there_is() -> None:
    registry = MiddlewareRegistry()
    with pytest.raises(ConfigurationError, match=r"add @app\.middleware\('[^']+'\)$"):
        registry.resolve("rate-limit", "/chat")
    registry.register("rate-limits")(print)
    with pytest.raises(ConfigurationError) as error:
        registry.resolve("rate-limit", "/chat")
    for part in ("'/chat'", "@app.middleware('rate-limit')", "'rate-limits'"):
        assert part in str(error.value)


def test_a_name_is_taken_once() -> None:
    registry = MiddlewareRegistry()
    registry.register("x")(print)
    with pytest.raises(ConfigurationError, match="two middlewares named 'x'"):
        registry.register("x")


@pytest.mark.parametrize("name", ["", None, 7, print])
def test_a_name_is_a_name(name: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"@app\.middleware\('rate-limit'\)"):
        MiddlewareRegistry().register(name)


def test_auth_is_taken_by_the_library() -> None:
    with pytest.raises(ConfigurationError, match=r"@app\.authenticate"):
        MiddlewareRegistry().register("auth")


def test_a_middleware_is_a_function_of_one_argument() -> None:
    registry = MiddlewareRegistry()
    with pytest.raises(ConfigurationError, match="must be a function"):
        registry.register("x")(7)  # type: ignore[type-var]
    registry.register("greedy")(lambda odac, more: None)
    with pytest.raises(ConfigurationError, match="one argument"):
        registry.resolve("greedy", "/a")

    async def generator(odac: object) -> Any:
        yield True

    with pytest.raises(ConfigurationError, match=r"'generator' of the route '/a'.*yield"):
        registry.resolve(generator, "/a")
