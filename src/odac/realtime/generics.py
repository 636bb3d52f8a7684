"""The types of the messages that a connection receives and sends, for type checkers."""

from __future__ import annotations

from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic

__all__ = ["In", "Out", "Typed"]

if TYPE_CHECKING:
    # Type checkers include this module; Python itself has defaults for type variables (PEP 696) since 3.13.
    from typing_extensions import TypeVar

    In = TypeVar("In", covariant=True, default=Any)
    Out = TypeVar("Out", contravariant=True, default=Any)
else:
    from typing import TypeVar

    In = TypeVar("In", covariant=True)
    Out = TypeVar("Out", contravariant=True)


class Typed(Generic[In, Out]):
    """The base of :class:`odac.Context` and :class:`odac.Connection`: ``Context[In]`` and ``Context[In, Out]``.

    Both default to Any, so that ``Context`` alone says nothing about messages.
    """

    __slots__ = ()

    if not TYPE_CHECKING:
        # Generic's own method requires as many arguments as there are variables.
        __class_getitem__ = classmethod(GenericAlias)
