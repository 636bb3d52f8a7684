"""Prepare once, deliver many: the messages of one tick, and the loop that writes them.

A room message is one entry in ``log``, whatever the size of the room. At the end of the event loop's tick each run of
entries with one audience becomes one piece of bytes, and that piece is written to every member with one system call.
A member that is not that simple at this moment (something of its own in this tick, a slow reader, TLS, compression,
plain ASGI) has ``fd`` at -1 and is settled on its own after the loop.
"""

from __future__ import annotations

import asyncio
import logging
from _thread import get_ident
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from odac.notices import limit_met
from odac.protocol.message import Prepared
from odac.realtime.writing import write_to_all

if TYPE_CHECKING:
    from odac.realtime.backlog import Backlog
    from odac.realtime.outbox import Outbox

__all__ = ["Delivery", "Entry"]

logger = logging.getLogger("odac")

LOG_BYTES: Final = 256 * 1024
LOG_ENTRIES: Final = 1024
"""A tick that sends more than this is written in several pieces, so that a loop of sends does not grow without bound."""


class Entry(NamedTuple):
    """One room message of this tick. Connections that it excludes have settled it already, so it need not name them."""

    rooms: tuple[str, ...]
    within: tuple[str, ...]
    message: Prepared


class Delivery:
    """The log of the tick, and who is apart from it.

    Args:
        loop: the event loop of all connections, on whose thread this is made.
        rooms: the members of each room, by its name; empty rooms are not in it.
        everyone: all open connections.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, rooms: dict[str, set[Outbox]], everyone: dict[str, Outbox]
    ) -> None:
        self.loop = loop
        self.thread = get_ident()
        self.log: list[Entry] = []
        self.dropped_messages = 0
        self.overflows = 0
        self._rooms = rooms
        self._everyone = everyone
        self._touched: list[Outbox] = []
        self._log_size = 0
        self._scheduled = False
        self._told: set[str] = set()
        self.is_writing = False
        self._later: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def add(self, entry: Entry, excluded: Iterable[Outbox] = ()) -> None:
        """Send a message to all members but the excluded ones when the tick ends."""
        if self.is_writing:
            self.later(self.add, entry, excluded)
            return
        for outbox in excluded:
            outbox.settle()
            self.touch(outbox)
            outbox.settled = len(self.log) + 1
        self.log.append(entry)
        self._log_size += len(entry.message.frame)
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self.flush)
        elif self._log_size > LOG_BYTES or len(self.log) >= LOG_ENTRIES:
            self._write()

    def touch(self, outbox: Outbox) -> None:
        """Set a connection apart until the end of the tick: it has something of its own."""
        if not outbox.touched:
            outbox.touched = True
            outbox.fd = -1
            self._touched.append(outbox)
            if not self._scheduled:
                self._scheduled = True
                self.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write everything that this tick has to send."""
        self._scheduled = False
        self._write()

    def later(self, call: Callable[..., object], *arguments: Any) -> None:
        """Do something as soon as what is being written is written.

        The application may come to run in the middle of a delivery, in a log handler that sends on what it is told. What
        it does there comes behind that delivery, or members would miss messages or get them twice.
        """
        self._later.append((call, arguments))

    def _write(self) -> None:
        self.is_writing = True
        apart = dict.fromkeys(self._touched)
        self._touched = []
        try:
            self._write_log(apart)
        finally:
            # Only now: until here settle() has looked at the log as it was.
            self.log = []
            self._log_size = 0
            self.is_writing = False
            for outbox in apart:
                outbox.settled = 0
                outbox.touched = False
                if outbox.pending is None:
                    outbox.restore()
                else:
                    self.touch(outbox)
            later, self._later = self._later, []
            for call, arguments in later:
                call(*arguments)

    def _write_log(self, apart: dict[Outbox, None]) -> None:
        log = self.log
        start, count = 0, len(log)
        while start < count:
            rooms, within, message = log[start]
            stop = start + 1
            while stop < count and log[stop].rooms == rooms and log[stop].within == within:
                stop += 1
            if stop - start == 1:
                run = [message]
                plain = message.escaped is None
                data = message.frame
            else:
                run = [entry.message for entry in log[start:stop]]
                plain = all(message.escaped is None for message in run)
                data = b"".join([message.frame for message in run])
            members = self.members(rooms, within)
            if plain:
                crowd = self._write_to_all(members, data, stop, apart, alone=stop - start == count)
                for outbox in crowd:
                    outbox.lane.write(run)
            else:
                for outbox in members:
                    if outbox.fd >= 0:  # it has everything before, by bare writes
                        outbox.settled = start
                        outbox.touched = True
                        outbox.fd = -1
                    apart[outbox] = None
            start = stop
        for outbox in apart:
            outbox.touched = True
            outbox.settle()
            outbox.flush()

    def _write_to_all(
        self, members: Iterable[Outbox], data: bytes, stop: int, apart: dict[Outbox, None], *, alone: bool
    ) -> list[Outbox]:
        """Write one run of the log by bare writes.

        Args:
            members: whom it is for.
            data: the run's frames.
            stop: where it ends in the log.
            apart: gets those who are to be settled one by one.
            alone: whether the run is the whole log.

        Returns:
            those whose lane takes no bare writes, but who need nothing else of the log: its ``write`` will do.
        """
        crowd: list[Outbox] = []
        for outbox, sent in write_to_all(members, data):
            if sent >= 0:
                outbox.lane.write_rest(memoryview(data)[sent:])
                outbox.settled = stop
                outbox.touched = True
                outbox.fd = -1
            elif alone and not outbox.touched and outbox.backlog is None and outbox.pending is None and outbox.is_open:
                crowd.append(outbox)
                continue
            apart[outbox] = None
        return crowd

    def members(self, rooms: tuple[str, ...], within: tuple[str, ...]) -> Iterable[Outbox]:
        """Everyone in any of the rooms (with none: everyone) who is in all of ``within``, once each."""
        if not rooms:
            if not within:
                return self._everyone.values()
            found = set(self._rooms.get(within[0], ()))
        elif len(rooms) == 1:
            if not within:
                return self._rooms.get(rooms[0], ())
            found = self._rooms.get(rooms[0], set())
        else:
            found = set().union(*[self._rooms.get(room, ()) for room in rooms])
        for room in within:
            found = found & self._rooms.get(room, set())
        return found

    # What happens to slow readers, counted here and logged with the setting's name.

    def overflowed(self, outbox: Outbox, limit: int) -> None:
        """A reader was closed because it is too slow."""
        self.overflows += 1
        limit_met(
            "outgoing_buffer",
            "%s: a client reads too slowly and was closed with 1013: over %d bytes waited for it (Limits.outgoing_buffer; overflow='drop_oldest' would keep it)",
            outbox.policy.name,
            limit,
        )

    def untaken(self, outbox: Outbox) -> None:
        """A client sends messages to a route that takes none: said once for each route."""
        name = outbox.policy.name
        if name not in self._told:
            self._told.add(name)
            logger.warning(
                "%s: a client sends messages, and nothing takes them: add odac.ws.on('message', …), or read them in the handler; the messages are dropped",
                name,
            )

    def dropped(self, outbox: Outbox, backlog: Backlog, count: int) -> None:
        """Room messages were dropped for a slow reader that is to stay connected: said once until it has caught up."""
        self.dropped_messages += count
        if count and not backlog.is_dropping:
            backlog.is_dropping = True
            limit_met(
                "outgoing_buffer",
                "%s: room messages are dropped for a client that reads too slowly: over %d bytes wait for it (Limits.outgoing_buffer, overflow='drop_oldest')",
                outbox.policy.name,
                outbox.policy.limits.outgoing_buffer,
            )
