"""The rooms' names, as known to this process. Messages and people are in Odac: see ``app.rooms`` in core.py."""

from __future__ import annotations

from typing import Any

from .people import NotAllowed

LONGEST_ROOM_NAME = 40
REMEMBERED = 50
"""The number of messages that a person gets on entering a room."""
MOST_ROOMS = 1_000
LOBBY = "lobby"
ALWAYS_THERE = (LOBBY, "kitchen", "music")


def clean_room_name(text: str) -> str:
    """``text`` as a room's name: lower case, with hyphens for spaces.

    Raises:
        NotAllowed: it is empty, too long, or contains other characters than letters, digits and hyphens.
    """
    name = "-".join(text.strip().lstrip("#").casefold().split())
    if not name:
        raise NotAllowed("Please write the room's name.")
    if len(name) > LONGEST_ROOM_NAME:
        raise NotAllowed(f"That room name has {len(name)} characters. At most {LONGEST_ROOM_NAME} fit.")
    if not all(character.isalnum() or character == "-" for character in name) or name.startswith("-"):
        raise NotAllowed("That room name is not allowed: use letters, digits and hyphens.")
    return name


def is_room_name(text: str) -> bool:
    """Whether this is a room's name in its normal form."""
    try:
        return clean_room_name(text) == text
    except NotAllowed:
        return False


class Room:
    """One room.

    Attributes:
        tabs: the number of tabs in the room that are connected to this process.
    """

    __slots__ = ("name", "tabs")

    def __init__(self, name: str) -> None:
        self.name = name
        self.tabs = 0


class Rooms:
    """All rooms: created when a person enters; above :data:`MOST_ROOMS`, empty ones are dropped."""

    def __init__(self) -> None:
        self._rooms = {name: Room(name) for name in ALWAYS_THERE}

    def room(self, name: str) -> Room:
        """The room with this name; a new one if there is none.

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

    @property
    def names(self) -> list[str]:
        """The names of all known rooms, which may have people on this process or another one."""
        return list(self._rooms)

    def listing(self, people: dict[str, int]) -> list[dict[str, Any]]:
        """The rooms to list: the permanent ones, then the others with people in them, those with most people first.

        Args:
            people: the number of people in each room.
        """
        others = sorted(
            (name for name, count in people.items() if name not in ALWAYS_THERE and count),
            key=lambda name: (-people[name], name),
        )
        return [{"name": name, "people": people.get(name, 0)} for name in (*ALWAYS_THERE, *others)]

    def _forget_empty_rooms(self) -> None:
        self._rooms = {name: room for name, room in self._rooms.items() if room.tabs or name in ALWAYS_THERE}
