"""Prepare once, deliver many: the messages of one tick, and the loop that writes them.

A room message is one entry in ``entries``, whatever the size of the room. At the end of the event loop's tick each run
of entries with one audience becomes one piece of bytes, and that piece is written to every member with one system call.
A member that needs more than that (it has messages of its own in this tick, reads slowly, or uses TLS, compression or
plain ASGI) has an ``fd`` of -1: it is set apart, takes its share of the entries and is written after the loop.
"""

from __future__ import annotations

import asyncio
import logging
from _thread import get_ident
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from odac.notices import limit_met
from odac.realtime.internal_ports import Entry, HubOfConnection
from odac.realtime.phase import CLOSING, OPEN, Phase
from odac.realtime.turn_budget import TurnBudget, turn_of
from odac.realtime.writing import write_to_all

if TYPE_CHECKING:
    from odac.realtime.backlog import Backlog
    from odac.realtime.outbox import Outbox
    from odac.realtime.policy import Policy

__all__ = ["Delivery"]

logger = logging.getLogger("odac")

ENTRIES_BYTES: Final = 256 * 1024
MOST_ENTRIES: Final = 1024
"""A tick that sends more messages than this is written in several parts, so that the entries stay bounded.
"""


class Member(Protocol):
    """The attributes of a connection that the delivery uses."""

    fd: int
    phase: Phase

    @property
    def outbox(self) -> Outbox:
        """Accepts messages that cannot be written directly to ``fd``."""
        ...


M = TypeVar("M", bound=Member)


class Delivery(Generic[M]):
    """The room messages of one tick, and the outboxes that are written separately (set apart).

    Args:
        loop: the event loop of all connections, on whose thread this is made.
        rooms: the members of each room, by its name; empty rooms are not in it.
        everyone: all open connections.

    Attributes:
        thread: the id of the event loop's thread.
        entries: the room messages of this tick.
        is_writing: whether the entries are being written now.
        on_congested: called with a connection whose reader falls behind, or None.
        corked: the outbox of the connection whose received bytes are being handled now, or None.
        turn: the budget of bytes that all connections together may read in one turn of the loop.
        spare: an empty context for the callbacks of connections that have set nothing in their own.
        hub: the hub of these connections, which sets it.
    """

    hub: HubOfConnection

    __slots__ = (
        "_apart",
        "_entries_size",
        "_everyone",
        "_later",
        "_rooms",
        "_scheduled",
        "_warned_routes",
        "corked",
        "dropped_messages",
        "entries",
        "hub",
        "is_writing",
        "loop",
        "on_congested",
        "overflows",
        "spare",
        "thread",
        "turn",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, rooms: dict[str, set[M]], everyone: dict[str, M]) -> None:
        self.loop = loop
        self.thread = get_ident()
        self.turn: TurnBudget = turn_of(loop)
        self.entries: list[Entry] = []
        self.on_congested: Callable[[Any], None] | None = None
        self.is_writing = False
        self.corked: Outbox | None = None
        self.spare = Context()
        self.dropped_messages = 0
        self.overflows = 0
        self._rooms = rooms
        self._everyone = everyone
        self._apart: list[Outbox] = []
        self._entries_size = 0
        self._scheduled = False
        self._warned_routes: set[str] = set()
        self._later: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def add(self, entry: Entry, excluded: Iterable[Outbox] = ()) -> None:
        """Send a message to all members except the excluded ones when the tick ends."""
        if self.is_writing:
            self.later(self.add, entry, excluded)
            return
        for outbox in excluded:
            outbox.take_share()
            outbox.set_apart()
            outbox.taken = len(self.entries) + 1
        self.entries.append(entry)
        self._entries_size += len(entry.message.frame)
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self.flush)
        elif self._entries_size > ENTRIES_BYTES or len(self.entries) >= MOST_ENTRIES:
            self._write()

    def set_apart(self, outbox: Outbox) -> None:
        """Write an outbox by itself when the tick ends; called by :meth:`Outbox.set_apart` alone."""
        self._apart.append(outbox)
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write everything that this tick has to send."""
        self._scheduled = False
        self._write()

    def later(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call a function as soon as the entries have been written.

        The application's code may run during a delivery, for example a log handler that sends each line. Such a message
        is delivered after the present ones, or members would miss messages or get them twice.
        """
        self._later.append((call, arguments))

    def _write(self) -> None:
        if self.corked is not None and self.corked.pending is not None:
            self.corked.set_apart()  # a direct write would overtake its pending messages
        self.is_writing = True
        apart = dict.fromkeys(self._apart)
        self._apart = []
        try:
            self._write_entries(apart)
        finally:
            # Only now: take_share() has used the entries until here.
            self.entries = []
            self._entries_size = 0
            self.is_writing = False
            for outbox in apart:
                outbox.taken = 0
                outbox.is_apart = False
                if outbox.pending is None:
                    outbox.renew_fd()
                else:
                    outbox.set_apart()
            later, self._later = self._later, []
            for call, arguments in later:
                call(*arguments)

    def _write_entries(self, apart: dict[Outbox, None]) -> None:
        entries = self.entries
        start, count = 0, len(entries)
        while start < count:
            rooms, also_in, message, _ = entries[start]
            stop = start + 1
            while stop < count and entries[stop].rooms == rooms and entries[stop].also_in == also_in:
                stop += 1
            if stop - start == 1:
                run = [message]
                plain = message.escaped is None
                data = message.frame
            else:
                run = [entry.message for entry in entries[start:stop]]
                plain = all(message.escaped is None for message in run)
                data = b"".join([message.frame for message in run])
            members = self.members(rooms, also_in)
            if plain:
                for outbox in self._write_to_all(members, data, stop, apart, alone=stop - start == count):
                    outbox.lane.write(run)
            else:
                for member in members:
                    outbox = member.outbox
                    if member.fd >= 0:
                        _set_taken(outbox, start)  # direct writes have sent it everything before
                    apart[outbox] = None
            start = stop
        for outbox in apart:
            outbox.is_apart = True  # within this delivery: take_share() must not cause a second write
            outbox.write_all()

    def _write_to_all(
        self, members: Iterable[M], data: bytes, stop: int, apart: dict[Outbox, None], *, alone: bool
    ) -> list[Outbox]:
        """Write one run of entries directly to the members' sockets.

        Args:
            members: its receivers.
            data: the run's frames.
            stop: the index of the entry at which the run ends.
            apart: gets the outboxes that must be written one by one.
            alone: whether the run is all entries.

        Returns:
            outboxes whose lane has no socket for direct writes, and which need none of the other entries: one call of
            the lane's ``write`` is enough.
        """
        by_lane: list[Outbox] = []
        for member, sent in write_to_all(members, data):
            outbox = member.outbox
            if sent >= 0:
                outbox.lane.write_rest(memoryview(data)[sent:])
                _set_taken(outbox, stop)
            elif (
                alone
                and not outbox.is_apart
                and outbox.backlog is None
                and outbox.pending is None
                and (member.phase is OPEN or member.phase < CLOSING)
            ):
                by_lane.append(outbox)
                continue
            apart[outbox] = None
        return by_lane

    def members(self, rooms: tuple[str, ...], also_in: tuple[str, ...]) -> Iterable[M]:
        """The connections in any of the rooms (with none: all) that are in all of ``also_in`` as well, once each."""
        if not rooms:
            if not also_in:
                return self._everyone.values()
            found = set(self._rooms.get(also_in[0], ()))
        elif len(rooms) == 1:
            if not also_in:
                return self._rooms.get(rooms[0], ())
            found = self._rooms.get(rooms[0], set())
        else:
            found = set().union(*[self._rooms.get(room, ()) for room in rooms])
        for room in also_in:
            found = found & self._rooms.get(room, set())
        return found

    # What happens to slow readers, counted here and logged with the setting's name.

    def overflowed(self, policy: Policy) -> None:
        """A reader was closed because it is too slow."""
        self.overflows += 1
        limit_met(
            "outgoing_buffer",
            "%s: a client reads too slowly and was closed with 1013: over %d bytes were queued for it"
            " (Limits.outgoing_buffer; overflow='drop_oldest' would keep it)",
            policy.path,
            policy.limits.outgoing_buffer,
        )

    def unreceived(self, policy: Policy, *, has_calls: bool) -> None:
        """A client sends messages to a route that receives none: logged once for each route."""
        path = policy.path
        if path not in self._warned_routes:
            self._warned_routes.add(path)
            logger.warning(
                "%s: a client sends messages, and the route does not receive them: add odac.ws.on('message', …), or"
                " read them in the handler; the messages are dropped%s",
                path,
                " (@route.answer gets calls, which the client makes with call(name, …))" if has_calls else "",
            )

    def dropped(self, policy: Policy, backlog: Backlog, count: int) -> None:
        """Log, once until it has caught up, that room messages were dropped for a slow reader that stays connected."""
        self.dropped_messages += count
        if count and not backlog.is_dropping:
            backlog.is_dropping = True
            limit_met(
                "outgoing_buffer",
                "%s: room messages are dropped for a client that reads too slowly: over %d bytes are queued for it"
                " (Limits.outgoing_buffer, overflow='drop_oldest')",
                policy.path,
                policy.limits.outgoing_buffer,
            )


def _set_taken(outbox: Outbox, taken: int) -> None:
    """Have an outbox take the rest of the entries; direct writes have sent it the first ``taken`` entries."""
    outbox.taken = taken
    outbox.is_apart = True
    outbox.renew_fd()
