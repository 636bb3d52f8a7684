from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from odac.realtime.listeners import entries_of, fit, listeners_of, registered


class Listener:
    def none(self) -> str:
        return "none"

    def one(self, a: object) -> object:
        return a

    @classmethod
    def of_class(cls, a: object) -> object:
        return a

    @staticmethod
    def static(a: object, b: object = "default") -> tuple[object, object]:
        return a, b

    def __call__(self, a: object) -> tuple[str, object]:
        return "called", a


def keyword_only(a: object, *, b: object = "b") -> tuple[object, object]:
    return a, b


CASES: list[tuple[Callable[..., Any], object]] = [
    (lambda: "none", "none"),
    (lambda a: a, 1),
    (lambda a, b: (a, b), (1, 2)),
    (lambda a, b, c=3: (a, b, c), (1, 2, 3)),
    (lambda *rest: rest, (1, 2)),
    (lambda a, *rest: (a, rest), (1, (2,))),
    (lambda a=None: a, 1),
    (lambda **named: named, {}),
    (Listener().none, "none"),
    (Listener().one, 1),
    (Listener.of_class, 1),
    (Listener.static, (1, 2)),
    (Listener(), ("called", 1)),
    (keyword_only, (1, "b")),
    (functools.partial(lambda a, b: (a, b), "bound"), ("bound", 1)),
    (functools.partial(lambda a, b: (a, b), b="named"), (1, "named")),
    (functools.lru_cache(lambda a: a), 1),
    ([].append, None),
]


@pytest.mark.parametrize(("handler", "result"), CASES[:-1])
def test_a_handler_gets_the_arguments_that_it_takes(handler: Callable[..., Any], result: object) -> None:
    assert fit(handler, 2)(1, 2) == result


def test_a_builtin_that_says_what_it_takes() -> None:
    got: list[int] = []
    fit(got.append, 2)(1, 2)
    assert got == [1]
    fit(print, 0)()


def test_an_async_handler_stays_async() -> None:
    async def handler() -> str:
        return "awaited"

    coroutine = fit(handler, 1)(1)
    with pytest.raises(StopIteration, match="awaited"):
        coroutine.send(None)


def test_a_fitting_handler_is_called_without_anything_in_between() -> None:
    def handler(a: object) -> None: ...

    assert fit(handler, 1) is handler


@pytest.mark.parametrize("handler", [lambda a, b, c: None, Listener.one, functools.partial(lambda a, b, c: None)])
def test_a_handler_that_needs_more_is_refused(handler: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"needs \d arguments, but is called with 1"):
        fit(handler, 1)


@pytest.mark.parametrize("handler", [None, 7, "name", object()])
def test_what_is_not_callable_is_refused(handler: Any) -> None:
    with pytest.raises(TypeError, match="callable"):
        fit(handler, 1)


def test_a_keyword_that_nothing_fills_is_refused() -> None:
    def handler(a: object, *, needed: object) -> None: ...

    with pytest.raises(TypeError, match="needed"):
        fit(handler, 1)


def generator(data: object) -> Any:
    yield data


async def asynchronous_generator(data: object) -> Any:
    yield data


class Generating:
    def __call__(self, data: object) -> Any:
        yield data


@pytest.mark.parametrize(
    "handler",
    [generator, asynchronous_generator, functools.partial(generator, 1), Generating(), Generating().__call__],
    ids=["def", "async def", "partial", "object", "method"],
)
def test_what_would_never_run_is_refused(handler: Any) -> None:
    """A ``yield`` that slipped in: calling such a function runs nothing of it."""
    with pytest.raises(TypeError, match="yield"):
        fit(handler, 1)


class CallableTuple(tuple[int, ...]):
    def __call__(self, data: object) -> None: ...


@pytest.mark.parametrize("function", [print, lambda data: None, CallableTuple(), CallableTuple((1, 2, 3))])
def test_the_only_listener_for_messages_is_kept_as_it_is(function: Any) -> None:
    one = ("message", function, function)
    assert entries_of(registered(one)) == one
    assert listeners_of(registered(one), "message") == [function]
    assert listeners_of(registered(one), "close") == []
    assert registered(one) is function


@pytest.mark.parametrize(
    "entries", [(), ("close", print, print), ("message", print, len), ("message", print, print) * 2]
)
def test_other_listeners_are_kept_in_a_tuple(entries: tuple[Any, ...]) -> None:
    assert registered(entries) is entries
    assert entries_of(entries) is entries
