"""The annotations of a function, as types."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from odac.errors import ConfigurationError
from odac.signatures import signature_of

__all__ = ["annotations_of", "local_names", "refuse_dependencies"]


def local_names(depth: int) -> Mapping[str, Any]:
    """The local names of a caller, which the annotations of a function that is defined there may use; empty at the top
    level of a module.

    Args:
        depth: 0 for the function that calls this one, 1 for its caller.
    """
    frame = sys._getframe(depth + 1)
    return dict(frame.f_locals) if frame.f_locals is not frame.f_globals else {}


def annotations_of(function: Callable[..., Any], names: Mapping[str, Any], what: str | None) -> tuple[list[Any], Any]:
    """The types of a function's positional parameters, in order, and of its result; Any without an annotation.

    Args:
        function: any callable.
        names: names for annotations, in addition to the globals of the function's module.
        what: a description of the function, for the error; with None, an unknown name means Any.

    Raises:
        ConfigurationError: an annotation contains an unknown name.
    """
    found = inspect.unwrap(function)
    if not inspect.isroutine(found) and not inspect.isclass(found):
        found = getattr(found, "__call__", found)  # noqa: B004 - an object that can be called has them on the method
    try:
        parameters = [
            parameter.name
            for parameter in signature_of(found).parameters.values()
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        ]
        hints = get_type_hints(found, localns=dict(names), include_extras=True)
    except (NameError, TypeError, ValueError) as error:
        if what is None or not isinstance(error, NameError):
            return [], Any
        raise ConfigurationError(
            f"{what}: the annotation of an argument cannot be read ({error}): define its type in the module, before"
            " the function"
        ) from None
    return [hints.get(name, Any) for name in parameters], hints.get("return", Any)


def refuse_dependencies(function: Callable[..., Any], what: str) -> None:
    """Raise an error where a default value is FastAPI's ``Depends(…)``, which the function would get as it is.

    Args:
        function: any callable.
        what: a description of the function, for the error.

    Raises:
        ConfigurationError: there is such a default value.
    """
    try:
        parameters = signature_of(function).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature
        return
    for parameter in parameters:
        kind = type(parameter.default)
        if kind.__module__ == "fastapi.params":
            raise ConfigurationError(
                f"{what}: {parameter.name}={kind.__name__}(…) has no effect outside of FastAPI's own routes: call the"
                " function in the handler, and read the request from odac.request"
            )
