"""The direct lane under a uvicorn that was started without ``--ws``: sets Odac's class in the running server.

Each HTTP class of uvicorn creates the class in ``Config.ws_protocol_class`` when a client asks for an upgrade. Setting
it when the app starts has the effect of ``uvicorn --ws odac.server:WebSocketProtocol``: connections accepted from then
on have the direct lane. The class is a complete ASGI WebSocket server for the other WebSocket routes of that server.
uvicorn's own class still serves HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from importlib import import_module
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Final

from odac.signatures import signature_of

if TYPE_CHECKING:
    from odac.config import Limits

__all__ = ["take_over"]

logger = logging.getLogger("odac.server")

_CLASS: Final = ("odac.serving.protocols.websocket", "WebSocketProtocol")
"""Imported by its name, as for uvicorn's option, because this package must not depend on ``odac.serving``."""

_OWN: Final = "uvicorn.protocols.websockets."
"""The package with the classes that uvicorn chooses by itself."""

_ARGUMENTS: Final = {"config": None, "server_state": None, "app_state": None}
"""The arguments with which uvicorn's HTTP classes create the WebSocket class."""

_FIRST, _LAST = (0, 34), (1, 0)
"""uvicorn's versions: the first that is supported, and the first that may have another interface."""

_ADVICE: Final = (
    "so connections use the ASGI lane, which needs more CPU time. For the direct lane, start with odac run, or with"
    " uvicorn's option --ws odac.server:WebSocketProtocol; Odac(takeover=False) leaves this line out"
)


def take_over(limits: Limits) -> None:
    """Set Odac's class in the uvicorn that calls the app, unless ``--ws`` names another one.

    If several servers run on this event loop and the caller cannot be determined, all of them get it.

    Args:
        limits: bound the head of each handshake.
    """
    module = sys.modules.get("uvicorn.server")
    if module is None:
        return
    servers = list({id(server): server for server in _servers(module.Server)}.values())
    calling = _configurations()
    for server in [server for server in servers if id(server.config) in calling] or servers:
        if not _has_our_class(server):
            _take_over_server(server, limits)


def _has_our_class(server: Any) -> bool:
    """Whether the server has Odac's class already: from ``odac run``, or from another app of this server."""
    current = getattr(server.config, "ws_protocol_class", None)
    return isinstance(current, type) and any(base.__module__ == _CLASS[0] for base in current.__mro__)


def _take_over_server(server: Any, limits: Limits) -> None:
    config = server.config
    if (chosen := getattr(config, "ws", None)) == "none":
        logger.warning("uvicorn was started with --ws none, so no WebSocket reaches the app: leave that option out")
    elif chosen != "auto":
        logger.info("uvicorn's option --ws was set to %s, %s", getattr(chosen, "__name__", chosen), _ADVICE)
    elif reason := _obstacle(server):
        logger.warning("uvicorn %s cannot hand over its WebSockets (%s), %s", _version(), reason, _ADVICE)
    else:
        _replace(server, limits)
        logger.info("uvicorn's WebSockets are Odac's own from now on: the direct lane")


def _obstacle(server: Any) -> str:
    """Why the class of this server cannot be replaced; empty if it can."""
    found = tuple(int(part) if part.isdigit() else 0 for part in _version().split(".")[:2])
    if not _FIRST <= found < _LAST:
        return f"known are the versions from {_FIRST[0]}.{_FIRST[1]} to before {_LAST[0]}.{_LAST[1]}"
    config, state = server.config, getattr(server, "server_state", None)
    current = getattr(config, "ws_protocol_class", None)
    if not getattr(config, "loaded", False) or not isinstance(current, type) or not current.__module__.startswith(_OWN):
        return "its configuration names no WebSocket class of its own"
    if not isinstance(getattr(state, "connections", None), set) or not isinstance(getattr(state, "tasks", None), set):
        return "it does not keep its connections and tasks where Odac's class looks for them"
    try:
        signature_of(current).bind(**_ARGUMENTS)
    except TypeError:
        return "it makes WebSocket classes with other arguments"
    return ""


def _version() -> str:
    return str(getattr(sys.modules.get("uvicorn"), "__version__", "?"))


def _replace(server: Any, limits: Limits) -> None:
    base = getattr(import_module(_CLASS[0]), _CLASS[1])
    before = server.config.ws_protocol_class
    bounded = type(base.__name__, (base,), {"__slots__": (), "limits": limits, "__doc__": base.__doc__})
    server.config.ws_protocol_class = bounded
    for connection in server.server_state.connections:  # accepted already, and not yet upgraded
        if getattr(connection, "ws_protocol_class", None) is before:
            connection.ws_protocol_class = bounded


# Finding the servers of this event loop: uvicorn gives an app no reference to its server


def _servers(kind: type[Any]) -> Iterator[Any]:
    """Every server with a coroutine that is suspended in a task of this event loop, or that called the running code."""
    for task in asyncio.all_tasks():
        yield from _selves(_suspended(task.get_coro()), kind)
    yield from _selves(_callers(sys._getframe()), kind)  # if tasks are eager


def _configurations() -> set[int]:
    """The ids of the configurations of uvicorn's objects that called the app.

    There may be none: middleware of Starlette calls the app in another task.
    """
    found = set()
    for frame in _callers(sys._getframe()):
        if frame.f_globals.get("__name__", "").startswith("uvicorn.") and _is_method(frame.f_code):
            found.add(id(getattr(frame.f_locals.get("self"), "config", None)))
    return found


def _suspended(awaited: Any) -> Iterator[FrameType]:
    """The frames of a coroutine, and of the coroutines that it awaits."""
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is None:
            return
        yield frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _selves(frames: Iterator[FrameType], kind: type[Any]) -> Iterator[Any]:
    for frame in frames:
        if _is_method(frame.f_code) and isinstance(found := frame.f_locals.get("self"), kind):
            yield found


def _is_method(code: CodeType) -> bool:
    return code.co_argcount > 0 and code.co_varnames[0] == "self"
