"""One timer that notices every peer that is gone.

Each connection stands in one of two lines, both in the order of time because all have the same interval: those to be
pinged, and those that were pinged and may yet show a sign of life. So a beat touches only the connections whose turn
it is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from odac.wire import control
from odac.wire.frames import PING
from odac.wire.message import Prepared

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["Heartbeat"]

_PING_FRAME: Final = Prepared(PING, b"")


class Heartbeat:
    """Pings connections, and aborts those that do not answer.

    Args:
        loop: the event loop.
        interval: seconds between two pings to one connection.
        timeout: seconds that a pinged connection has to send anything at all.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float, timeout: float) -> None:
        self._loop = loop
        self._interval = interval
        self._timeout = timeout
        # A beat serves everyone whose turn comes within this time, so that 10,000 connections do not take 10,000
        # wake-ups. It is early for some, never late: a dead peer is noticed within interval + timeout.
        self._granularity = min(1.0, interval / 10, timeout / 10)
        self._to_ping: deque[Connection] = deque()
        self._pinged: deque[Connection] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, connection: Connection) -> None:
        """Watch a connection until it is closed."""
        connection.due = self._loop.time() + self._interval
        self._to_ping.append(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(self._interval, self._beat)

    def _beat(self) -> None:
        now = self._loop.time()
        soon = now + self._granularity
        pinged, to_ping = self._pinged, self._to_ping
        while pinged and pinged[0].due <= soon:
            connection = pinged.popleft()
            if not connection.is_open:
                continue
            if connection.alive:
                connection.due = max(now, connection.due - self._timeout + self._interval)
                to_ping.append(connection)
            else:
                connection.lane.abort()
        while to_ping and to_ping[0].due <= soon:
            connection = to_ping.popleft()
            if connection.is_open:
                connection.alive = False
                connection.put(control.PING if connection.v1 else _PING_FRAME)
                connection.due = now + self._timeout
                pinged.append(connection)
        head = min((line[0].due for line in (to_ping, pinged) if line), default=None)
        self._timer = (
            None
            if head is None
            else self._loop.call_at(max(head - self._granularity / 2, now + self._granularity / 4), self._beat)
        )
