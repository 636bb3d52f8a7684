"""The phases of a connection, from its upgrade to the end of its timers and tasks, and what happened in them."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = [
    "ADMITTED",
    "CLOSED",
    "CLOSING",
    "FUNCTIONS",
    "HANDLER",
    "LISTENERS",
    "OPEN",
    "END_REPORTED",
    "Phase",
    "ReadyState",
]


class Phase(IntEnum):
    """The phases of a connection, in order; a connection may skip some and never goes back.

    Before :data:`CLOSING`, messages can be sent to it. The table in docs/explanation/architecture.md lists what each
    event does in each phase.
    """

    ADMITTING = 0
    """Upgraded; the gates (the checks of the route) run. Messages to its rooms reach it; broadcasts do not yet."""
    OPEN = 1
    """Admitted: broadcasts reach it too, and the heartbeat watches it."""
    CLOSING = 2
    """This side's close frame is sent, or queued after the backlog, and the peer's is awaited (on the ASGI lane, the
    server awaits it). The connection has left all rooms."""
    CLOSED = 3
    """Both close frames were exchanged, or the transport has ended. The ASGI lane enters this when the server has taken
    the close or reported the disconnect, and ``Lane.cut`` at once. The messages before are handled, then the close
    listeners are called; with none of either, RELEASED follows in the same call."""
    RELEASED = 4
    """The close listeners have run; timers and tasks are cancelled, and the rooms it was in are forgotten."""


OPEN: Final = Phase.OPEN
CLOSING: Final = Phase.CLOSING
CLOSED: Final = Phase.CLOSED
"""Globals, for speed. On the path of every message, ``phase is not OPEN`` is tested first: comparing enums by order
takes four times as long."""

# The bits of Connection.flags: one number, because a slot for each would take memory of every connection.

ADMITTED: Final = 1
"""All gates had passed."""
END_REPORTED: Final = 2
"""The close listeners have been called, or are being called."""

HANDLER: Final = 4
"""The route's handler has not returned, and may read messages."""
LISTENERS: Final = 8
"""There are message listeners."""
FUNCTIONS: Final = 16
"""The route has message functions, which become a listener once the handler has returned."""


class ReadyState(IntEnum):
    """The state of a connection; the numbers are those of the browser's WebSocket (WHATWG WebSockets Standard, section
    3.1).
    """

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3
