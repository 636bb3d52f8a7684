"""Logs warnings that clients cause, and the application's exceptions, at a bounded rate; counts how often each limit is
exceeded.

Any client can break a rule as often as it likes. So a process writes at most :data:`LINES` lines of each kind a minute.
The rest is counted, and the next line of its kind says how many there were.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import fields
from time import monotonic
from typing import Final

from odac.config import Limits

__all__ = [
    "LINES",
    "WINDOW",
    "counted",
    "harmless",
    "is_due",
    "limit_hits",
    "limit_met",
    "mistaken",
    "raised",
    "refusal_listener",
    "refused",
    "unhandled",
    "warn",
    "unhandled_listener",
]

logger = logging.getLogger("odac")

LINES: Final = 10
"""Lines of one kind within :data:`WINDOW`: enough to find the cause, too few to fill a disk."""

WINDOW: Final = 60.0
"""Seconds."""

_KINDS: Final = 1000
"""The most kinds that are counted separately: generated code may raise at any number of places."""


unhandled_listener: Final[ContextVar[Callable[[BaseException], object] | None]] = ContextVar(
    "odac_unhandled", default=None
)
"""Called with an exception that the application raised in this context and did not handle. The test client sets it, and
raises the exception in the test."""

refusal_listener: Final[ContextVar[Callable[[str], object] | None]] = ContextVar("odac_refusal", default=None)
"""Called with why a handshake was refused in this context, which the client is not told. The test client sets it, and
adds the reason to its error."""


class _Kind:
    __slots__ = ("lines", "since", "unlogged")

    def __init__(self, now: float) -> None:
        self.since = now
        self.lines = 0
        self.unlogged = 0


_kinds: dict[str, _Kind] = {}
_hits: dict[str, int] = {field.name: 0 for field in fields(Limits)}
_lock: Final = threading.Lock()  # one process may run apps in several threads


def warn(kind: str, message: str, *arguments: object) -> None:
    """Write a warning to the logger ``odac``, unless enough of its kind have been written within the minute.

    Args:
        kind: one of a few names in the code, never text from a client.
        message: as for :func:`logging.warning`.
        arguments: of the message.
    """
    _log(kind, message, arguments)


def is_due(kind: str) -> bool:
    """Whether to run a check that takes time and may lead to a warning: at most as often as lines are written.

    Args:
        kind: as for :func:`warn`, and another one than the warning's.
    """
    with _lock:
        return _counted(kind).lines <= LINES


def mistaken(kind: str, message: str, *arguments: object) -> None:
    """Log an error of the application that raised no exception, as often as a warning of one kind; see :func:`warn`."""
    _log(kind, message, arguments, level=logging.ERROR)


def raised(message: str, error: BaseException, *arguments: object) -> None:
    """Log an exception of the application, with its traceback, as often as a warning of one kind.

    Each line of code that raises is a kind of its own, so that the errors of one connection hide no others.

    Args:
        message: as for :func:`logging.error`.
        error: the exception.
        arguments: of the message.
    """
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = "" if frame is None else f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}"
    kind = f"raised {type(error).__qualname__} {where}"
    _log(kind if kind in _kinds or len(_kinds) < _KINDS else "raised", message, arguments, error, logging.ERROR)


def unhandled(error: BaseException) -> None:
    """Pass an exception that the application did not handle, and that failed a connection or call, to the test client.

    This logs nothing: see :func:`raised`.
    """
    listener = unhandled_listener.get()
    if listener is not None:
        from odac.hints import add_hint

        add_hint(error)
        listener(error)


def refused(why: object) -> None:
    """Pass the reason why a handshake is refused, and what to change, to the test client. This logs nothing.

    Args:
        why: its ``str()`` is the reason.
    """
    listener = refusal_listener.get()
    if listener is not None:
        listener(str(why))


def limit_met(limit: str, message: str, *arguments: object) -> None:
    """A client has exceeded a limit: count that, and log a warning.

    Args:
        limit: the field of :class:`~odac.config.Limits`.
        message: names the setting that would change it.
        arguments: of the message.
    """
    with _lock:
        _hits[limit] += 1
    _log(limit, message, arguments)


def limit_hits() -> dict[str, int]:
    """How often each limit was met in this process, by the name of its field."""
    with _lock:
        return _hits.copy()


def _log(
    kind: str,
    message: str,
    arguments: tuple[object, ...],
    error: BaseException | None = None,
    level: int = logging.WARNING,
) -> None:
    with _lock:
        state = _counted(kind)
        if state.lines > LINES:
            state.unlogged += 1
            return
        unlogged_count, state.unlogged = state.unlogged, 0
    if unlogged_count:
        message, arguments = message + " [%d more like this were not logged]", (*arguments, unlogged_count)
    elif state.lines == LINES:
        message, arguments = message + " [more like this within %g s are only counted]", (*arguments, WINDOW)
    if error is not None:
        from odac.hints import add_hint  # only errors need it

        add_hint(error)
    logger.log(level, message, *arguments, exc_info=error, stacklevel=3)


def _counted(kind: str) -> _Kind:
    """The kind with one more line; the lock is held."""
    now = monotonic()
    state = _kinds.get(kind)
    if state is None:
        state = _kinds[kind] = _Kind(now)
    elif now - state.since >= WINDOW:
        state.since, state.lines = now, 0
    state.lines += 1
    return state


def counted(number: int, noun: str) -> str:
    """``1 task``, ``2 tasks``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def harmless(text: str) -> str:
    """Escape the control characters of a peer's text: it must not move a terminal's cursor or change its title."""
    return "".join(
        character if character.isprintable() or character == "\t" else character.encode("unicode_escape").decode()
        for character in text
    )
