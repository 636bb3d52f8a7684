"""One timer that detects all peers that no longer answer.

Each connection is in one of two queues: connections to be pinged, and pinged connections that have not answered yet.
All wait equally long, so the connection that was added last is also due last; connections that are added at nearly the
same moment share a slot. So each run of the timer touches only the connections that are due.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from odac.close_codes import CloseCode
from odac.notices import limit_met
from odac.protocol import control
from odac.protocol.message import Prepared
from odac.realtime.phase import CLOSING
from odac.realtime.writing import write_to_all
from odac.wire.frames import PING

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["Heartbeat"]

_PING_FRAME: Final = Prepared(PING, b"")

_Queue = deque[tuple[float, "list[Connection]"]]
"""Slots in the order of their times, each with the connections that are due then."""


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
        # One run handles all connections that are due within this time, so that 10,000 connections do not take 10,000
        # wake-ups. It is early for some, never late: a dead peer is detected within interval + timeout.
        self._granularity = min(1.0, interval / 10, timeout / 10)
        self._to_ping: _Queue = deque()
        self._pinged: _Queue = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0  # when the timer runs
        self._was_late = False
        self._watched = 0
        self._ended = 0

    def watch(self, connection: Connection) -> None:
        """Watch a connection until it is closed."""
        due = self._loop.time() + self._interval
        queue = self._to_ping
        self._watched += 1
        if queue and due - queue[-1][0] <= self._granularity:
            queue[-1][1].append(connection)
        else:
            queue.append((due, [connection]))
        if self._timer is None:
            self._beat_at(due)

    def _beat_at(self, due: float) -> None:
        self._due = due
        self._timer = self._loop.call_at(due, self._beat)

    def ended(self) -> None:
        """A watched connection has closed. Most are removed when they are due, and sooner when many are closed."""
        self._ended += 1
        if self._ended > 100 and 2 * self._ended > self._watched:
            for queue in (self._to_ping, self._pinged):
                for _, connections in queue:
                    connections[:] = [connection for connection in connections if connection.phase < CLOSING]
            self._watched = sum(len(connections) for _, connections in self._to_ping)
            self._ended = 0

    def _schedule_ping(self, due: float, connection: Connection) -> None:
        self._watched += 1
        self._append(self._to_ping, due, connection)

    def _append(self, queue: _Queue, due: float, connection: Connection) -> None:
        if queue and due - queue[-1][0] <= self._granularity:
            queue[-1][1].append(connection)
        else:
            queue.append((due, [connection]))

    def _beat(self) -> None:
        now = self._loop.time()
        if now - self._due > self._granularity and not self._was_late:
            # The loop was blocked, and pongs may have arrived that are unread: uvloop runs timers before it reads.
            self._was_late = True
            self._beat_at(now + self._granularity / 4)
            return
        self._was_late = False
        soon = now + self._granularity
        pinged, to_ping = self._pinged, self._to_ping
        while pinged and pinged[0][0] <= soon:
            due, connections = pinged.popleft()
            for connection in connections:
                # A connection that has answered and was pinged again since then has a later slot as well.
                if connection.is_open and connection.due is not None and connection.due - due <= self._granularity:
                    if connection.inbox.is_paused:
                        connection.due = None  # its pong may be unread, behind messages for a slow handler
                    else:
                        limit_met(
                            "pong_timeout",
                            "%s: a client did not answer a ping within %g s and was cut off (Limits.pong_timeout)",
                            connection.policy.path,
                            self._timeout,
                        )
                        connection.lane.cut(CloseCode.INTERNAL_ERROR, f"no answer to a ping within {self._timeout:g} s")
        while to_ping and to_ping[0][0] <= soon:
            _, connections = to_ping.popleft()
            self._watched -= len(connections)
            due = now + self._timeout
            to_ping_now: tuple[list[Connection], list[Connection]] = ([], [])
            for connection in connections:
                if connection.is_open:
                    if connection.due is None:
                        connection.due = due
                        self._append(pinged, due, connection)
                    to_ping_now[connection.speaks_odac].append(connection)
                    self._schedule_ping(now + self._interval, connection)
                elif self._ended:
                    self._ended -= 1
            _ping(to_ping_now[False], _PING_FRAME)
            _ping(to_ping_now[True], control.PING)
        first_due = min((queue[0][0] for queue in (to_ping, pinged) if queue), default=None)
        if first_due is None:
            self._timer = None
        else:
            self._beat_at(max(first_due - self._granularity / 2, now + self._granularity / 4))


def _ping(connections: list[Connection], message: Prepared) -> None:
    """Send a ping to all, directly to the socket where possible: its place among the messages does not matter."""
    for connection, sent in write_to_all(connections, message.frame):
        if sent < 0:
            connection.put(message)
        else:
            connection.lane.write_rest(memoryview(message.frame)[sent:])
