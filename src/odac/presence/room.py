"""The people of one room as this process knows them, and the messages about changes to members and processes."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, TimerHandle
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from odac.presence.absences import Absences, Budget
from odac.presence.copies import Copy
from odac.presence.messages import Ask, Delta, Entry, Page, encode
from odac.presence.ports import SUBSYSTEM, Announce, Viewer
from odac.presence.questions import AT_OPENING, ShareQuestions, new_question
from odac.presence.roster import News, Roster
from odac.presence.rules import Presence
from odac.presence.shares import Numbering, Share
from odac.realtime.ports import SubsystemSender

__all__ = ["Around", "RoomPresence"]

GATHER: Final = 0.1
"""Seconds for which changes of a room are collected, so that a burst of changes costs each member one message."""
GATHER_TOTALS: Final = 1.0
"""The same in a room over its limit, whose members get only the number of people."""
REPEAT: Final = 5.0
"""Seconds after a share's last change at which its version is sent again, which reveals the loss of the delta."""
JITTER: Final = 0.5
"""Seconds within which processes ask each other, so that they do not all ask at once."""
OPENING: Final = 1.0
"""The most seconds for which the first members in this process wait for the shares of the other processes. From a list
without those people, a client that has reconnected would conclude that they have left."""
OWN: Final = b""
"""This process's origin in its own rosters."""
FINAL_CODES: Final = frozenset({1000, 4001, 4003})
"""Close codes after which a person does not return: the page closed the connection, logged out, or was refused."""


class Around(NamedTuple):
    """The objects that all rooms of the process share.

    Args:
        loop: the event loop for timers.
        sender: sends to the other processes.
        announce: sends changes to members.
        numbering: assigns the versions of this process's shares.
        questions: the questions for shares that the other processes have not answered.
        budget: the number of absent people.
        jitter: returns a random number from 0 to 1.
        forget: called when a room may no longer be needed.
    """

    loop: AbstractEventLoop
    sender: SubsystemSender
    announce: Announce
    numbering: Numbering
    questions: ShareQuestions
    budget: Budget
    jitter: Callable[[], float]
    forget: Callable[[str], None]


class RoomPresence:
    """The people of one room: this process's share, copies of the others', and the members to notify.

    The copies are updated while the room has viewers in this process, or a call of `members()` is pending.
    """

    __slots__ = (
        "_around",
        "_asked",
        "_flush_at",
        "_flushing",
        "_newcomers",
        "_opening",
        "_repeating",
        "_viewers",
        "absences",
        "answered",
        "copies",
        "name",
        "roster",
        "rule",
        "share",
        "waiters",
    )

    def __init__(self, name: str, rule: Presence, around: Around) -> None:
        self.name = name
        self.rule = rule
        self.share = Share(name, around.numbering)
        self.roster = Roster(rule.limit)
        self.copies: dict[bytes, Copy] = {}
        self.answered: set[bytes] = set()  # processes whose whole share has arrived since the room has been watched
        self.waiters: dict[int, Future[None]] = {}  # by question
        self.absences = Absences(around.loop, rule.grace, around.budget, lambda connection: self.set(connection, None))
        self._around = around
        self._asked: dict[bytes, TimerHandle] = {}
        self._viewers: dict[str, Viewer] = {}
        self._newcomers: dict[str, Viewer] = {}
        self._opening: TimerHandle | None = None  # set until the other processes have answered
        self._flushing: TimerHandle | None = None
        self._flush_at = 0.0
        self._repeating: TimerHandle | None = None

    @property
    def is_watched(self) -> bool:
        """Whether the other processes' shares are followed."""
        return bool(self._viewers or self._newcomers or self.waiters)

    @property
    def is_needed(self) -> bool:
        """Whether the room still has any state."""
        return self.is_watched or bool(self.share.entries) or self.share.has_changed or self._repeating is not None

    # This process's connections

    def set(self, connection: str, entry: Entry | None) -> None:
        """Set the entry of a connection; None: it is not in the room."""
        before = self.share.entries.get(connection)
        if entry is None:
            self.share.remove(connection)
        else:
            self.share.set(connection, entry)
        self.roster.update(OWN, connection, before, entry)
        self._schedule()

    def add_viewer(self, viewer: Viewer) -> None:
        """Send a connection the list of people, and then the changes; do nothing if it gets them already."""
        if viewer.id in self._viewers:
            return
        if not self._viewers and not self._newcomers and self._around.sender.origins - self.answered:
            # All processes are asked, not only those that listen to the room: a process whose last connection has
            # ended keeps its people for the grace period, but no longer listens.
            self._around.sender.send_to_all(SUBSYSTEM, encode(Ask(self.name, new_question())))
            self._opening = self._around.loop.call_later(OPENING, self._open)
        self._newcomers[viewer.id] = viewer

    def remove_viewer(self, connection: str) -> Viewer | None:
        """Stop sending changes to a connection; return it if it got them."""
        viewer = self._viewers.pop(connection, None)
        self._newcomers.pop(connection, None)
        if not self.is_watched:
            self.stop_copies()
        return viewer

    def left(self, connection: str) -> None:
        """A connection has left the room: for its client, the list is empty now."""
        viewer = self.remove_viewer(connection)
        if viewer is not None:
            self._around.announce(self.name, News([], [], 0, True), [viewer])
        self.set(connection, None)

    def ended(self, connection: str, *, final: bool) -> None:
        """A connection has ended: its person stays for the grace period, unless the end is final."""
        self.remove_viewer(connection)
        entry = self.share.entries[connection]
        if final or not self.rule.grace:
            self.set(connection, None)
            return
        self.set(connection, entry._replace(away=True))
        self.absences.begin(entry.person, connection)

    # Sending changes

    def _schedule(self) -> None:
        """Send the changes at the end of this tick, or later if the last ones were sent recently."""
        if self._flushing is None:
            loop = self._around.loop
            self._flushing = loop.call_later(max(0.0, self._flush_at - loop.time()), self._flush)

    def _flush(self) -> None:
        self._flushing = None
        over = len(self.roster) > self.rule.limit
        self._flush_at = self._around.loop.time() + (GATHER_TOTALS if over else GATHER)
        self.tell_processes()
        if self._opening is None:
            self._tell_members()
        self._around.forget(self.name)

    def _tell_members(self) -> None:
        news = self.roster.take_news()
        announce = self._around.announce
        if news is not None and self._viewers:
            announce(self.name, news, list(self._viewers.values()))
        if self._newcomers:
            newcomers, self._newcomers = self._newcomers, {}
            self._viewers |= newcomers
            announce(self.name, self.roster.everybody(), list(newcomers.values()))

    def _open(self) -> None:
        """The other processes have answered, or their time is over."""
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
            for origin in self._around.sender.origins - self.answered:
                self._around.questions.asked(origin, self.name, AT_OPENING, self._around.loop.time())
            self._schedule()

    def tell_processes(self) -> None:
        """Send the changes of this process's share to the other processes."""
        if self.share.has_changed:
            for delta in self.share.deltas():
                self._around.sender.send_to_room(self.name, SUBSYSTEM, encode(delta))
            if self._repeating is not None:
                self._repeating.cancel()
            self._repeating = self._around.loop.call_later(REPEAT, self._repeat)

    def _repeat(self) -> None:
        """Send the share's version again."""
        self._repeating = None
        self._around.sender.send_to_room(self.name, SUBSYSTEM, encode(self.share.repeat()))
        self._around.forget(self.name)

    # The other processes' shares

    def stop_copies(self) -> None:
        """Stop following the other processes' shares, and drop the copies, which would soon be out of date."""
        if self.copies:
            self.copies.clear()
            self.roster = Roster(self.rule.limit)
            for connection, entry in self.share.entries.items():
                self.roster.update(OWN, connection, None, entry)
        self.answered.clear()
        for timer in self._asked.values():
            timer.cancel()
        self._asked.clear()
        self._around.questions.forget_room(self.name)
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None

    def _copy(self, origin: bytes) -> Copy:
        copy = self.copies.get(origin)
        if copy is None:
            copy = self.copies[origin] = Copy(partial(self.roster.update, origin))
        return copy

    def apply(self, origin: bytes, delta: Delta) -> None:
        """Apply a change of another process's share."""
        if self._copy(origin).apply(delta):
            self.ask_soon(origin)
        self._tell_news()

    def take(self, origin: bytes, page: Page) -> None:
        """Add a part of another process's share."""
        whole = self._copy(origin).take(page)
        around = self._around
        around.questions.answered(origin, self.name, page.question, around.loop.time(), whole=whole)
        if whole:
            self.answered.add(origin)
            self.check_answers()
        self._tell_news()

    def drop(self, origin: bytes) -> None:
        """A process has gone, and its people have left unless they are connected to another process."""
        copy = self.copies.pop(origin, None)
        self.answered.discard(origin)
        if copy is not None:
            copy.clear()
            self._tell_news()

    def check_answers(self) -> None:
        """Continue if all running processes have answered."""
        if (self.waiters or self._opening is not None) and not self._around.sender.origins - self.answered:
            for waiter in self.waiters.values():
                if not waiter.done():
                    waiter.set_result(None)
            self._open()

    def compare(self, origin: bytes, version: int) -> None:
        """Another process's share has this version; 0: it has none."""
        copy = self.copies.get(origin)
        if version > (copy.version if copy is not None else 0) or (not version and copy is not None and copy.entries):
            self.ask_soon(origin)

    def _tell_news(self) -> None:
        if self.roster.has_news:
            self._schedule()

    def ask_soon(self, origin: bytes) -> None:
        """Ask a process for its share; further calls until then change nothing."""
        if origin not in self._asked:
            delay = JITTER * self._around.jitter()
            self._asked[origin] = self._around.loop.call_later(delay, self._ask, origin)

    def _ask(self, origin: bytes) -> None:
        self._asked.pop(origin, None)
        copy = self.copies.get(origin)
        known = copy.version if copy is not None else 0
        question = new_question()
        self._around.questions.asked(origin, self.name, question, self._around.loop.time())
        self._around.sender.send_to(origin, SUBSYSTEM, encode(Ask(self.name, question, known)))

    def stop(self) -> None:
        """Cancel the timers."""
        self.absences.stop()
        for timer in (self._flushing, self._repeating, self._opening, *self._asked.values()):
            if timer is not None:
                timer.cancel()
