"""Detects lost messages between two processes by comparing versions: after an outage, few rooms differ, if any."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from odac.presence.heard import Heard
from odac.presence.messages import MAX_PAGES, Compare, Last, Versions, encode
from odac.presence.ports import SUBSYSTEM
from odac.presence.questions import new_question
from odac.presence.room import Around, RoomPresence

__all__ = ["Collection", "Comparing", "parts_of"]

ROOMS_A_PART: Final = 250
"""Rooms in one message: 60 KB with the longest names, and a few KB with usual ones."""
MOST_ENDED: Final = 1024
"""Empty shares whose last version is remembered. A process that asks for older ones gets all versions."""


def parts_of(question: int, versions: dict[str, int], since: int = 0, last: int = 0) -> list[Versions]:
    """Split the versions of this process's shares into messages.

    Args:
        question: the question that this answers, or a new number.
        versions: the versions by room.
        since: only shares that changed after this version are in ``versions``; 0: all shares with people.
        last: the last version that this process has assigned.
    """
    items = list(versions.items())
    size = max(ROOMS_A_PART, -(-len(items) // MAX_PAGES))
    parts = [dict(items[first : first + size]) for first in range(0, len(items), size)] or [{}]
    return [Versions(question, index, len(parts), part, since, last) for index, part in enumerate(parts)]


class Collection:
    """Collects the versions that one process sends in several messages."""

    __slots__ = ("_parts", "_question")

    def __init__(self) -> None:
        self._question = 0
        self._parts: dict[int, Iterable[str]] = {}

    def add(self, part: Versions) -> set[str] | None:
        """Add a part; if it completes the set, return all rooms in the parts, else None."""
        if part.question != self._question:
            self._question = part.question
            self._parts.clear()
        self._parts[part.index] = part.versions.keys()
        if len(self._parts) < part.pages:
            return None
        rooms = {room for each in self._parts.values() for room in each}
        self._parts.clear()
        return rooms


class Comparing:
    """Compares this process's copies with the versions that the other processes send.

    A heartbeat carries the last version that its process has assigned to any of its shares. If one has not arrived
    here, this process asks which shares have changed, and then requests those whose copy is older. While nothing
    changes, nothing is sent.

    Args:
        around: the objects that all rooms share.
        rooms: the rooms of this process, by name.
    """

    __slots__ = ("_around", "_collections", "_ended", "_ended_before", "_heard", "_rooms")

    def __init__(self, around: Around, rooms: dict[str, RoomPresence]) -> None:
        self._around = around
        self._rooms = rooms
        self._heard: dict[bytes, Heard] = {}
        self._collections: dict[bytes, Collection] = {}
        self._ended: dict[str, int] = {}  # versions of shares that have ended, by room; the oldest is first
        self._ended_before = 0  # versions of shares that ended up to this one are forgotten

    # Sending

    def beat(self) -> bytes | None:
        """The contents of this process's heartbeat; None while it has sent nothing about any person."""
        last = self._around.numbering.last
        return encode(Last(last)) if last else None

    def ended(self, room: RoomPresence) -> None:
        """A room is no longer needed."""
        self._around.questions.forget_room(room.name)
        version = room.share.version
        if version:
            self._ended.pop(room.name, None)
            self._ended[room.name] = version
            if len(self._ended) > MOST_ENDED:
                oldest = next(iter(self._ended))
                self._ended_before = max(self._ended_before, self._ended.pop(oldest))

    def tell(self, compare: Compare, tell: Callable[[bytes], None]) -> None:
        """Send the versions of this process's shares."""
        for room in list(self._rooms.values()):
            room.tell_processes()
        since = compare.since if compare.since >= self._ended_before else 0
        if since:
            versions = {name: version for name, version in self._ended.items() if version > since}
            versions |= {room.name: room.share.version for room in self._rooms.values() if room.share.version > since}
        else:
            versions = {room.name: room.share.version for room in self._rooms.values() if room.share.entries}
        for part in parts_of(compare.question, versions, since, self._around.numbering.last):
            tell(encode(part))

    def ask(self, origin: bytes) -> None:
        """Ask a process whose heartbeats have started or resumed for its versions."""
        # Rooms that were opened while it was silent did not ask it.
        self._heard.pop(origin, None)
        self._around.sender.send_to(origin, SUBSYSTEM, encode(Compare(new_question())))

    def all_with_all(self) -> None:
        """Ask all processes for their versions, and send them the versions of this one."""
        sender = self._around.sender
        sender.send_to_all(SUBSYSTEM, encode(Compare(new_question())))
        self.tell(Compare(new_question()), lambda part: sender.send_to_all(SUBSYSTEM, part))

    # Receiving

    def arrived(self, origin: bytes, version: int) -> None:
        """A change of another process's share has arrived."""
        if origin in self._around.sender.origins:
            self._heard_of(origin).arrived(version)

    def heartbeat(self, origin: bytes, last: int) -> None:
        """A heartbeat of another process has arrived: repeat unanswered questions, and request missing shares."""
        around = self._around
        now = around.loop.time()
        for name in around.questions.overdue(origin, now):
            room = self._rooms.get(name)
            if room is not None and room.is_watched:
                room.ask_soon(origin)
        heard = self._heard_of(origin)
        if last > heard.confirmed and not any(room.is_watched for room in self._rooms.values()):
            heard.confirm(last)  # a room that is opened later requests whole shares
        if heard.is_behind(last, now):
            around.sender.send_to(origin, SUBSYSTEM, encode(Compare(new_question(), heard.confirmed)))

    def take(self, origin: bytes, part: Versions) -> None:
        """Versions have arrived: request the shares whose copies here have other versions.

        Nothing is kept of a process that sends no heartbeats, because its end would not be detected: its messages may
        arrive before its first heartbeat, and after its ``Bye``. At its first heartbeat, all its shares are requested.
        """
        is_alive = origin in self._around.sender.origins
        for name, version in part.versions.items():
            room = self._rooms.get(name)
            if room is not None and room.is_watched:
                room.compare(origin, version)
        if part.pages == 1:
            rooms: set[str] | None = set(part.versions)
        else:
            rooms = self._collections.setdefault(origin, Collection()).add(part) if is_alive else None
        if rooms is None:
            return
        self._collections.pop(origin, None)
        if not part.since:
            for room in self._rooms.values():
                if room.is_watched and room.name not in rooms:
                    room.compare(origin, 0)
        if is_alive:
            self._heard_of(origin).confirm(part.last)

    def _heard_of(self, origin: bytes) -> Heard:
        heard = self._heard.get(origin)
        if heard is None:
            heard = self._heard[origin] = Heard()
        return heard

    def forget(self, origin: bytes) -> None:
        """A process has left or is gone."""
        self._heard.pop(origin, None)
        self._collections.pop(origin, None)
        self._around.questions.forget(origin)
