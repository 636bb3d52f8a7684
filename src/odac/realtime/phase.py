"""Where a connection stands between its upgrade and the end of what it owned."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["CLOSED", "CLOSING", "OPEN", "Phase", "ReadyState"]


class Phase(IntEnum):
    """The phases of a connection, in their order; it goes through them one way, and may skip some.

    Below :data:`CLOSING` a connection takes what it is sent. The table in docs/explanation/architecture.md says what
    each event does in each phase.
    """

    ADMITTING = 0
    """Upgraded, and on its way through the gates. Rooms that it is in reach it; broadcasts do not yet."""
    OPEN = 1
    """Admitted: broadcasts reach it too, and the heartbeat watches it."""
    CLOSING = 2
    """This side's close frame is sent, or waits behind the backlog; the peer's is awaited. It is in no room any more.
    """
    CLOSED = 3
    """The transport is gone or given up. The messages before that are handled, then the close listeners are told."""
    RELEASED = 4
    """The close listeners have run; timers and tasks are cancelled, and the rooms it was in are forgotten."""


OPEN: Final = Phase.OPEN
CLOSING: Final = Phase.CLOSING
CLOSED: Final = Phase.CLOSED
"""Looked up as globals. Where every message passes, ``phase is not OPEN`` is asked first: comparing enums by their
order takes four times as long."""


class ReadyState(IntEnum):
    """Where a connection stands; the numbers are those of the browser's WebSocket (WHATWG WebSockets Standard, section
    3.1).
    """

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3
