from __future__ import annotations

from typing import Any, get_args, get_origin

import odac


def test_one_argument_or_two_or_none() -> None:
    kinds: list[Any] = [odac.Context, odac.Connection]
    for kind in kinds:
        assert get_origin(kind[int]) is kind
        assert get_args(kind[int]) == (int,)
        assert get_args(kind[int, str]) == (int, str)
        assert not hasattr(kind, "__dict__") or "__weakref__" not in kind.__dict__
