"""The functions of a route in addition to its handler: one for each type of message, and one for each call."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from odac.calls.client_call import AnswerFunction
from odac.context import Context
from odac.errors import ConfigurationError
from odac.protocol.types import class_of, make_converter, name_of, not_decodable, union_members
from odac.realtime.listeners import fit
from odac.realtime.sent import is_to_be_awaited
from odac.routing.annotations import annotations_of, refuse_dependencies

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Functions"]

_LONGEST_NAME: Final = 100
"""Characters of a call's name."""


class Functions:
    """What ``@route.on(Type)`` and ``@route.answer(name)`` have added to one route.

    Args:
        path: the route's path, for error messages.
        message: the route's ``message=``.

    Attributes:
        by_class: the functions for messages, by the class of the message.
        sources: the same functions as registered, by the declared type.
        answers: the functions for calls, by the name of the call.
    """

    __slots__ = ("answers", "by_class", "message", "path", "sources")

    def __init__(self, path: str, message: Any) -> None:
        self.path = path
        self.message = message
        self.by_class: dict[type, Callable[..., Any]] = {}
        self.sources: dict[Any, Callable[..., Any]] = {}
        self.answers: dict[str, AnswerFunction] = {}

    def add_message(self, type_: Any, function: Callable[..., Any]) -> None:
        """Add the function for one type of message.

        Raises:
            ConfigurationError: the route does not accept this type, or the type has a function already.
        """
        if self.message is None:
            raise ConfigurationError(
                f"{self.path!r}: on({name_of(type_)}) needs message= on the route, which names all types that may come"
            )
        members = union_members(self.message)
        if type_ not in members:
            raise ConfigurationError(
                f"{self.path!r}: on({name_of(type_)}): the route takes message={name_of(self.message)}; add it there"
            )
        found = class_of(type_)
        if found is None or sum(class_of(member) is found for member in members) > 1:
            raise ConfigurationError(
                f"{self.path!r}: on({name_of(type_)}): a message does not show that it is one: use a msgspec Struct,"
                " dataclass or pydantic model"
            )
        if found in self.by_class:
            raise ConfigurationError(f"{self.path!r}: there are two functions for {name_of(type_)}: remove one")
        self.by_class[found] = self._fitted(f"on({name_of(type_)})", function)
        self.sources[type_] = function

    def add_answer(self, name: str, function: Callable[..., Any], names: Mapping[str, Any]) -> None:
        """Add the function that answers a call.

        Args:
            name: the name of the call.
            function: takes the context and the arguments, whose annotation is their type.
            names: the names in the scope where it was defined, for its annotations.

        Raises:
            ConfigurationError: the name is used already or invalid, or an annotation cannot be used.
        """
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
            raise ConfigurationError(
                f"{self.path!r}: answer({name!r}): a name is a str of 1 to {_LONGEST_NAME} characters"
            )
        if name in self.answers:
            raise ConfigurationError(f"{self.path!r}: there are two answers to {name!r}: remove one")
        fitted = self._fitted(f"answer({name!r})", function)
        parameters, returns = annotations_of(function, names, f"{self.path!r}: answer({name!r})")
        first: Any = parameters[0] if parameters else Any
        if not _may_be_context(first):
            raise ConfigurationError(
                f"{self.path!r}: answer({name!r}): its first parameter gets the context and is annotated with"
                f" {name_of(first)}: write odac in front of it"
            )
        # A function with one argument gets no arguments from the caller: they are ignored.
        arguments = parameters[1] if len(parameters) > 1 else None if len(parameters) == 1 else Any
        convert = None
        if arguments is not None and arguments is not Any and arguments is not object:
            try:
                convert = make_converter(arguments)
            except TypeError as error:
                raise ConfigurationError(
                    f"{self.path!r}: answer({name!r}): {not_decodable(arguments, error)}"
                ) from None
        self.answers[name] = AnswerFunction(fitted, convert, arguments, returns, function)

    def _fitted(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        refuse_dependencies(function, f"{self.path!r}: {what}")
        try:
            return fit(function, 2)
        except TypeError as error:
            raise ConfigurationError(
                f"{self.path!r}: {what} must be a function of two arguments, the context and the message: {error}"
            ) from None

    def check(self, handler: Callable[..., Any]) -> None:
        """Check what can be checked only after all functions were added.

        Args:
            handler: the route's handler.

        Raises:
            ConfigurationError: a type of message has no function though others have, or the handler's annotation
                contradicts ``message=``.
        """
        members = union_members(self.message)
        if self.by_class:
            missing = [name_of(member) for member in members if class_of(member) not in self.by_class]
            if missing:
                raise ConfigurationError(
                    f"{self.path!r}: no function takes {', '.join(missing)}: add "
                    + ", ".join(f"@route.on({each})" for each in missing)
                )
        if self.message is None:
            return
        parameters, _ = annotations_of(handler, {}, None)
        declared = get_args(parameters[0]) if parameters and get_origin(parameters[0]) is Context else ()
        if declared and declared[0] is not Any:
            known = union_members(declared[0])
            unknown = [name_of(member) for member in members if member not in known]
            if unknown:
                raise ConfigurationError(
                    f"{self.path!r}: its handler is annotated with Context[{name_of(declared[0])}], and message= lets"
                    f" {', '.join(unknown)} in as well: let both say the same"
                )

    def run(self, handler: Callable[[Context[Any, Any]], Any], context: Context[Any, Any]) -> Any:
        """Call the handler; after it has returned, the functions get the messages."""
        if not self.by_class:
            return handler(context)
        context.ws.inbox.reserve()
        result = handler(context)
        if is_to_be_awaited(result):
            return self._listen_after(result, context)
        self._listen(context)
        return result

    async def _listen_after(self, opening: Awaitable[object], context: Context[Any, Any]) -> object:
        result = await opening
        self._listen(context)
        return result

    def _listen(self, context: Context[Any, Any]) -> None:
        by_class = self.by_class
        context.ws.on("message", lambda message: by_class[type(message)](context, message))


def _may_be_context(annotation: Any) -> bool:
    """Whether a parameter with this annotation may get the context; a protocol that it implements is fine as well."""
    if annotation in (Any, object) or not inspect.isclass(annotation) or getattr(annotation, "_is_protocol", False):
        return True
    return issubclass(annotation, Context)
