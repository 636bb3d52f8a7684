"""Misspelt names of arguments: errors that name the one that was meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from types import FunctionType
from typing import Any, Final, TypeVar, cast

__all__ = ["check_fields", "check_names", "did_you_mean", "nearest"]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_SHORTEST: Final = 4
"""Characters of a name that is looked for inside of another: ``allow_origins`` means ``origins``."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that ``name`` most likely stands for, or None if none is similar."""
    from difflib import get_close_matches  # only mistakes need it

    known = list(names)
    lowered = name.lower()
    similar = get_close_matches(lowered, known, 1)
    if similar:
        return similar[0]
    parts = (part for part in known if len(part) >= _SHORTEST and part in lowered)
    return max(parts, key=len, default=None)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """``did you mean 'x'?``, or all names if none is similar."""
    known = list(names)
    similar = nearest(name, known)
    return f"did you mean {similar!r}?" if similar is not None else f"it takes {', '.join(known)}"


def check_names(function: F) -> F:
    """Decorate a function whose error for a misspelt argument should name the argument that was meant.

    Python 3.13 does that by itself; functions that are called for each message rely on it, because this decorator costs
    a call. The signature is unchanged for type checkers, editors and :func:`inspect.signature`.
    """
    return cast(F, _checked(cast(FunctionType, function), function.__qualname__))


def check_fields(cls: type[T]) -> type[T]:
    """The same for a class: above ``@dataclass``, or above a class that has an ``__init__``."""
    type.__setattr__(cls, "__init__", _checked(cast(FunctionType, vars(cls)["__init__"]), cls.__name__))
    return cls


def _checked(function: FunctionType, callee: str) -> Callable[..., Any]:
    code = function.__code__
    most = code.co_argcount
    names = code.co_varnames[: most + code.co_kwonlyargcount]
    own = 1 if names[:1] == ("self",) else 0
    known = frozenset(names[own:])

    @wraps(function)
    def checked(*args: Any, **given: Any) -> Any:
        if not given.keys() <= known:
            name = next(name for name in given if name not in known)
            raise TypeError(
                f"{callee}() got an unexpected keyword argument {name!r}: {did_you_mean(name, names[own:])}"
            )
        if len(args) > most:
            by_name = ", ".join(f"{name}=…" for name in names[most : most + 3])
            others = f"give the others by name, as in {callee}({by_name})" if by_name else f"not {len(args) - own}"
            raise TypeError(
                f"{callee}() takes {most - own or 'no'} positional argument{'' if most - own == 1 else 's'}: {others}"
            )
        return function(*args, **given)

    return checked
