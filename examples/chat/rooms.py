"""The rooms: the people in them and the last messages. Pure state; sending is the app's business.

It lives in this process. With several workers, messages still reach everyone through the broker, while "who is here"
and the last messages are this worker's own.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter, deque
from typing import Any

from .people import NotAllowed, Person

LONGEST_ROOM_NAME = 40
REMEMBERED = 50
"""Messages shown to a person who enters a room."""
MOST_ROOMS = 1_000
ALWAYS_THERE = ("lobby", "kitchen", "music")

_START = secrets.token_urlsafe(6)


def clean_room_name(text: str) -> str:
    """``text`` as a room's name: lower case, with hyphens for spaces.

    Raises:
        NotAllowed: it is empty, too long, or holds more than letters, digits and hyphens.
    """
    name = "-".join(text.strip().lstrip("#").casefold().split())
    if not name:
        raise NotAllowed("Please write the room's name.")
    if len(name) > LONGEST_ROOM_NAME:
        raise NotAllowed(f"That room name has {len(name)} characters. At most {LONGEST_ROOM_NAME} fit.")
    if not all(character.isalnum() or character == "-" for character in name) or name.startswith("-"):
        raise NotAllowed("That room name is not allowed: use letters, digits and hyphens.")
    return name


def now_ms() -> int:
    """Milliseconds since 1970, as browsers count them."""
    return int(time.time() * 1000)


class Room:
    """One room: a person is in it while any of their tabs is."""

    __slots__ = ("_people", "_tabs", "last_messages", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.last_messages: deque[dict[str, Any]] = deque(maxlen=REMEMBERED)
        self._people: dict[str, Person] = {}
        self._tabs: Counter[str] = Counter()

    @property
    def people(self) -> list[Person]:
        """The people in the room, in the order of arrival."""
        return list(self._people.values())

    def open_tab(self, person: Person) -> bool:
        """One more tab of this person; True when the person was not here before."""
        self._tabs[person.id] += 1
        arrived = person.id not in self._people
        self._people[person.id] = person
        return arrived

    def close_tab(self, person: Person) -> bool:
        """One tab less; True when it was the last one. The person stays until :meth:`leave`."""
        self._tabs[person.id] -= 1
        return self._tabs[person.id] <= 0

    def leave(self, person: Person) -> bool:
        """Take the person out, unless a tab was opened again meanwhile; True when they were taken out."""
        if self._tabs[person.id] > 0:
            return False
        del self._tabs[person.id]
        return self._people.pop(person.id, None) is not None

    def say(self, person: Person, text: str) -> dict[str, Any]:
        """A message from this person, remembered for those who come later."""
        message = {
            "type": "message",
            "id": f"{_START}-{secrets.token_urlsafe(6)}",
            "from": person.as_json(),
            "text": text,
            "at": now_ms(),
        }
        self.last_messages.append(message)
        return message


class Rooms:
    """All rooms, made when somebody enters and forgotten, when empty, past :data:`MOST_ROOMS`."""

    def __init__(self) -> None:
        self._rooms = {name: Room(name) for name in ALWAYS_THERE}

    def room(self, name: str) -> Room:
        """The room of this name.

        Raises:
            NotAllowed: it is new, and there are too many rooms in use.
        """
        room = self._rooms.get(name)
        if room is None:
            if len(self._rooms) >= MOST_ROOMS:
                self._forget_empty_rooms()
            if len(self._rooms) >= MOST_ROOMS:
                raise NotAllowed("There are too many rooms just now. Please use one that is there.")
            room = self._rooms[name] = Room(name)
        return room

    def listing(self) -> list[dict[str, Any]]:
        """The rooms worth showing: those always there, then the others with people in them, fullest first."""
        others = sorted(
            (room for name, room in self._rooms.items() if name not in ALWAYS_THERE and room.people),
            key=lambda room: (-len(room.people), room.name),
        )
        shown = [self._rooms[name] for name in ALWAYS_THERE] + others[:30]
        return [{"name": room.name, "people": len(room.people)} for room in shown]

    def _forget_empty_rooms(self) -> None:
        self._rooms = {name: room for name, room in self._rooms.items() if room.people or name in ALWAYS_THERE}
