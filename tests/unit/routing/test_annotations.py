from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest

from odac.errors import ConfigurationError
from odac.routing.annotations import annotations_of, local_names


class Move:
    pass


def function(odac: object, move: Move, *rest: int, more: str = "") -> list[int]:
    raise NotImplementedError


def test_positional_parameters_and_what_is_returned() -> None:
    assert annotations_of(function, {}, None) == ([object, Move], list[int])
    assert annotations_of(lambda odac, move: None, {}, None) == ([Any, Any], Any)


def test_methods_objects_and_wrapped_functions() -> None:
    class Handler:
        def method(self, odac: object, move: Move) -> None: ...
        def __call__(self, odac: object, move: Move) -> None: ...

    @wraps(function)
    def wrapped(*arguments: Any) -> Any: ...

    calls: list[Callable[..., Any]] = [Handler().method, Handler(), wrapped]
    assert [annotations_of(each, {}, None)[0] for each in calls] == [[object, Move]] * 3


def test_names_of_the_place_where_it_was_written() -> None:
    class Local: ...

    def local(odac: object, move: Local) -> None: ...

    assert annotations_of(local, {"Local": Local}, None)[0] == [object, Local]
    assert annotations_of(local, {}, None) == ([], Any)
    with pytest.raises(ConfigurationError, match=r"move.*Local.*define its type"):
        annotations_of(local, {}, "the answer 'move'")


def test_what_says_nothing_of_itself() -> None:
    assert annotations_of(print, {}, None)[1] is Any


def test_the_local_names_of_a_caller() -> None:
    def called() -> Any:
        return local_names(1)

    here = Move
    assert called()["here"] is here
