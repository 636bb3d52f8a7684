"""The members of a client's rooms, from the server's control messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["Person", "PresenceChange", "Rosters"]


class Person(NamedTuple):
    """A person in a room.

    Args:
        key: the same for this person in this room, on all processes; it does not reveal the user.
        data: what the person's newest connection joined with.
    """

    key: str
    data: Any


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """The argument of the event ``presence``.

    Args:
        room: its name.
        users: all members now. In a room over its limit, where the server sends only ``total``, this and the next three
            are empty.
        joined: new members.
        changed: members who were there before, and whose data has changed.
        left: members who left, with their last data.
        total: how many people are there.
    """

    room: str
    users: list[Person]
    joined: list[Person]
    changed: list[Person]
    left: list[Person]
    total: int


class Rosters:
    """The people of each room. They are kept while there is no connection, so that only the differences are reported
    after a reconnect.
    """

    __slots__ = ("_numbers", "_people")

    def __init__(self) -> None:
        self._numbers: dict[int, str] = {}  # the server's number of a room, on this connection
        self._people: dict[str, dict[str, Any]] = {}

    def people(self, room: str) -> list[Person]:
        """The members of a room, as far as the server has sent them."""
        return [Person(key, data) for key, data in self._people.get(room, {}).items()]

    def lost(self) -> None:
        """The connection has ended; the next one has other numbers."""
        self._numbers.clear()

    def receive(self, kind: str, values: list[Any]) -> PresenceChange | None:
        """Handle a control message; return the change to report, or None for one that is not about people."""
        match kind, values:
            case "here", [int() as number, list() | None as people, int() as total, str() as room, *_]:
                self._numbers[number] = room
                before = self._people.get(room, {})
                now = dict(map(_pair, people or ()))
            case "diff", [int() as number, list() | None as people, list() | None as keys, int() as total, *_]:
                found = self._numbers.get(number)
                if found is None:
                    return None
                room, before = found, self._people[found]
                now = {} if people is None else {**before, **dict(map(_pair, people))}
                for key in keys or ():
                    now.pop(key, None)
            case _:
                return None
        self._people[room] = now
        users = self.people(room)
        joined = [person for person in users if person.key not in before]
        changed = [person for person in users if person.key in before and before[person.key] != person.data]
        # Without a list, the room has too many people, and the message has only the total.
        left = [] if people is None else [Person(key, data) for key, data in before.items() if key not in now]
        return PresenceChange(room, users, joined, changed, left, total)


def _pair(entry: Any) -> tuple[str, Any]:
    key, data = entry
    return key, data
