"""Hints for mistakes by people who know another framework's names: what to write instead.

The hints are looked up when an error has happened, and are added to it as a note: the classes themselves have no
``__getattr__``, which would cost every access to an attribute.
"""

from __future__ import annotations

import dis
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from types import FunctionType, SimpleNamespace
from typing import Any, Final

from odac.signatures import signature_of
from odac.spelling import nearest

__all__ = ["add_hint", "for_attribute", "for_handler", "no_attribute"]

_RECEIVE: Final = "write `async for data in odac.ws` or `await odac.ws.receive()`: JSON arrives parsed"
_SEND: Final = "write odac.ws.send(data): a dict or list goes out as JSON, a str as text, bytes as binary"
_NO_EVENTS: Final = "messages have no event names here: put one into the message, as in send({'event': …})"
_JOIN: Final = "write odac.ws.join(room)"
_LEAVE: Final = "write odac.ws.leave(room)"
_TO_ROOM: Final = "write odac.ws.to(room).send(data), or app.route.ws_server.to_room(room, data) outside of a handler"
_USER: Final = "write `await odac.auth.user()` in an async def handler"
_WS_ONLY: Final = (
    "it routes WebSockets alone: add them with @app.route.ws(path), and give the app that answers HTTP as Odac(http=…)"
)

_REQUEST: Final = {
    "query_params": "odac.request.query",
    "args": "odac.request.query",
    "GET": "odac.request.query",
    "path_params": "odac.request.data.url, a dict",
    "params": "odac.request.data.url for the path's parameters, odac.request.query for the query",
    "url_route": "odac.request.data.url, a dict",
    "client": "odac.request.ip",
    "remote_addr": "odac.request.ip",
    "META": "odac.request.header(name)",
    "COOKIES": "odac.request.cookies",
    "url": "odac.request.path and odac.request.query",
}
_IN_REQUEST: Final = {name: f"write {there}" for name, there in _REQUEST.items()}
_OF_REQUEST: Final = {
    name: f"write odac.request.{name}" for name in ("headers", "header", "query", "cookies", "path", "ip", "scope")
}
_SESSION: Final = "a connection keeps things in odac.ws.data, and `await odac.auth.user()` says who is logged in"

_CONNECTION: Final = {
    **_IN_REQUEST,
    **_OF_REQUEST,
    **dict.fromkeys(("receive_text", "receive_json", "receive_bytes", "recv", "iter_text", "iter_json"), _RECEIVE),
    **dict.fromkeys(("iter_bytes", "messages", "listen"), _RECEIVE),
    **dict.fromkeys(("send_text", "send_json", "send_bytes", "send_str", "write", "write_message"), _SEND),
    "emit": f"{_NO_EVENTS}; odac.ws.call(name, args) asks for an answer",
    "accept": "the connection is accepted before its handler runs: leave the line out",
    **dict.fromkeys(("join_room", "enter_room", "group_add", "subscribe"), _JOIN),
    **dict.fromkeys(("leave_room", "group_discard", "unsubscribe"), _LEAVE),
    **dict.fromkeys(("group_send", "channel_layer", "publish", "to_room", "room"), _TO_ROOM),
    **dict.fromkeys(("sid", "channel_name"), "write odac.ws.id"),
    "disconnect": "write odac.ws.close()",
    "user": _USER,
    "session": _SESSION,
    **dict.fromkeys(("state", "application_state", "client_state"), "write odac.ws.ready_state, or odac.ws.data"),
}
_OF_WS: Final = (
    *("send", "send_binary", "receive", "on", "off", "join", "leave", "to", "broadcast", "close", "ping"),
    *("id", "rooms", "ready_state", "is_open"),
)
_APP: Final = {
    **dict.fromkeys(("get", "post", "put", "patch", "delete", "add_route", "mount", "include_router"), _WS_ONLY),
    **dict.fromkeys(("websocket", "websocket_route", "add_websocket_route", "add_api_websocket_route"), _WS_ONLY),
    **dict.fromkeys(("ws", "socket", "namespace"), "write @app.route.ws(path)"),
    **dict.fromkeys(("on", "event", "on_message"), "write @app.route.ws(path), and in its handler odac.ws.on(…)"),
    **dict.fromkeys(
        ("on_event", "add_event_handler", "before_serving", "on_startup"),
        "what happens at the start belongs to the lifespan of the app given as Odac(http=…)",
    ),
    **dict.fromkeys(("run", "listen", "serve"), "start it with `odac run module:app`, or odac.server.run(app)"),
    **dict.fromkeys(
        ("ws_server", "to_room", "to", "broadcast", "user", "clients", "emit", "send", "publish"),
        "app.route.ws_server sends: to_room(room, data), user(id).send(data), broadcast(data)",
    ),
    "add_middleware": "@app.middleware(name) names one for routes, and ASGI middleware goes around: Middleware(app)",
    "login": "write app.auth.login(response, user)",
}

_HINTS: Final[Mapping[str, Mapping[str, str]]] = {
    "Odac": _APP,
    "Routes": {
        **dict.fromkeys(("get", "post", "put", "patch", "delete"), _WS_ONLY),
        **dict.fromkeys(("websocket", "add", "route", "on"), "write @app.route.ws(path)"),
        "emit": "write app.route.ws_server.to_room(room, data) or .broadcast(data)",
    },
    "Connection": {
        **_CONNECTION,
        **{name: f"write odac.{name}" for name in ("auth", "request", "set_interval", "set_timeout", "create_task")},
    },
    "Context": {
        **_CONNECTION,
        **{name: f"write odac.ws.{name}" for name in _OF_WS},
        **dict.fromkeys(("check", "user_id"), "write `await odac.auth.check()` or `await odac.auth.user_id()`"),
        "data": "write odac.request.data for the path's parameters, odac.ws.data for what the connection keeps",
        "app": "use the variable that the app is in",
        "session": _SESSION,
    },
    "Request": {
        **_IN_REQUEST,
        **dict.fromkeys(("body", "json", "form"), "a handshake has no body: data comes in messages"),
        "user": _USER,
        "session": _SESSION,
    },
    "Target": {**dict.fromkeys(("emit", "broadcast", "send_json", "send_text"), "write to(…).send(data)")},
    "WsServer": {
        **dict.fromkeys(
            ("emit", "send", "publish", "group_send", "send_json"),
            "write to_room(room, data), user(id).send(data) or broadcast(data)",
        ),
    },
    "ClientConnection": {
        **dict.fromkeys(("recv", "receive_json", "receive_text", "wait"), "write `await ws.receive()`"),
        **dict.fromkeys(("send_json", "send_text", "send_str"), "write ws.send(data)"),
        **dict.fromkeys(("disconnect",), "write `await ws.close()`"),
        **dict.fromkeys(("connect",), "write `async with odac.connect(url) as ws:`"),
        "emit": _NO_EVENTS,
        "sid": "write ws.id",
    },
}

_A_CLASS: Final = (
    "it is a class, which Odac does not call for each event: write async def handler(odac), with its connect method's"
    " code first, that of its receive method in `async for data in odac.ws:`, and that of its disconnect method in a"
    " function for odac.ws.on('close', …)"
)
_ASGI: Final = ("scope", "receive", "send")
_AN_ASGI_APP: Final = (
    "it takes scope, receive and send, so it is an ASGI app: give the app that routes to it as Odac(http=…)"
)
_DATA: Final = (
    "what odac.ws.data keeps are attributes: write odac.ws.data.name, or getattr(odac.ws.data, name, default)"
)

_NOTE: Final = "Odac: "
_UNEXPECTED: Final = re.compile(r"^(\w+)\.(\w+)\(\) got an unexpected keyword argument '(\w+)'$")
_TOO_MANY: Final = re.compile(r"^\w+\.send\(\) takes 2 positional arguments but \d+ were given$")
_OF_DATA: Final = re.compile(
    r"^'types\.SimpleNamespace' object (is not subscriptable|does not support item)"
    r"|^argument of type 'types\.SimpleNamespace'"
)
_DICT_METHODS: Final = frozenset(dir(dict))
_UNAWAITED: Final = re.compile(r"^'coroutine' object (is not|has no)")


def for_attribute(kind: type, name: str) -> str | None:
    """What to write in place of an attribute that a class of Odac does not have; None if no name is similar."""
    known = next((_HINTS[base.__name__] for base in kind.__mro__ if _is_own(base) and base.__name__ in _HINTS), {})
    if name in known:
        return known[name]
    similar = nearest(name, [attribute for attribute in dir(kind) if not attribute.startswith("_")])
    return None if similar is None else f"did you mean {similar!r}?"


def for_handler(handler: Any) -> str | None:
    """What to write in place of another framework's class or app as a route's handler; None for any other callable.

    A class whose ``__init__`` takes ``odac`` can be a handler.
    """
    try:
        parameters = signature_of(handler).parameters
    except (TypeError, ValueError):  # some builtins have no signature
        return None
    is_asgi = tuple(parameters) == _ASGI
    if inspect.isclass(handler):
        names = parameters.keys() | (_init_parameters(handler) - set(_ASGI))
        return _A_CLASS if is_asgi or not names - {"args", "kwargs"} else None
    return _AN_ASGI_APP if is_asgi else None


def _init_parameters(kind: type) -> set[str]:
    """Of the class and its bases: an ``__init__(self, *args)`` may pass ``odac`` on to a base class."""
    own = [vars(each).get("__init__") for each in kind.__mro__[:-1]]
    functions = [each for each in own if isinstance(each, FunctionType)]
    return {name for each in functions for name in list(signature_of(each).parameters)[1:]}


def no_attribute(value: object, name: str) -> AttributeError:
    """The error for a class that has a ``__getattr__``, because it is used at the start only.

    Python also calls ``__getattr__`` if a property of this name raised an AttributeError. Then that error is returned,
    which names the missing attribute.
    """
    kind = type(value)
    if hasattr(kind, name):
        try:
            object.__getattribute__(value, name)
        except AttributeError as error:
            return error
    text = f"{kind.__name__!r} object has no attribute {name!r}"
    hint: str | None
    if name in _set_at_start(kind):
        hint = f"call super().__init__(…) first in {kind.__name__}.__init__"
    else:
        hint = None if name.startswith("_") else for_attribute(kind, name)
    return AttributeError(text if hint is None else f"{text}: {hint}", name=name, obj=value)


def add_hint(error: BaseException) -> None:
    """Add a note to an exception of the application, if the mistake can be recognized by the error alone."""
    notes = getattr(error, "__notes__", ())
    hint = None if any(str(note).startswith(_NOTE) for note in notes) else _hint(error)
    if hint is not None and hint not in str(error):
        error.add_note(_NOTE + hint)


def _hint(error: BaseException) -> str | None:
    text = str(error)
    if _UNAWAITED.match(text):
        return "an await is missing where this value comes from"
    if isinstance(error, AttributeError):
        kind = type(error.obj)
        if kind is SimpleNamespace and error.name in _DICT_METHODS:
            return _DATA
        return for_attribute(kind, error.name) if error.name and _is_own(kind) else None
    if not isinstance(error, TypeError):
        return None
    if text.startswith("the JSON object must be str"):
        return "JSON messages arrive parsed: leave json.loads out, or let the route have raw=True"
    if _OF_DATA.match(text):
        return _DATA
    if _TOO_MANY.match(text):
        return _NO_EVENTS
    return _misspelt(text)


def _misspelt(text: str) -> str | None:
    """For methods that are called for each message; those called at the start check names (:mod:`odac.spelling`)."""
    found = _UNEXPECTED.match(text)
    if found is None:
        return None
    for method in _methods(found[1], found[2]):
        similar = nearest(found[3], [name for name in signature_of(method).parameters if name != "self"])
        return None if similar is None else f"did you mean {similar!r}?"
    return None


def _methods(kind: str, name: str) -> Iterator[Any]:
    """The method of a message such as ``Connection.join() got …``, if Odac has such a class."""
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("odac."):
            found = vars(module).get(kind)
            if isinstance(found, type) and found.__module__ == module_name and callable(getattr(found, name, None)):
                yield getattr(found, name)


def _set_at_start(kind: type) -> set[str]:
    """The attributes that Odac's ``__init__`` sets, for a class of the application that derives from Odac's."""
    if _is_own(kind):
        return set()
    own = next(base for base in kind.__mro__ if _is_own(base))
    code = inspect.unwrap(own.__init__).__code__  # type: ignore[misc]
    return {step.argval for step in dis.get_instructions(code) if step.opname == "STORE_ATTR"}


def _is_own(kind: type) -> bool:
    return kind.__module__ == "odac" or kind.__module__.startswith("odac.")
