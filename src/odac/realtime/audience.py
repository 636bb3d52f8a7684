"""Whom a message is for, as a value that travels between processes."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

__all__ = [
    "EVERYONE",
    "Audience",
    "browser_room",
    "check_room",
    "check_user_id",
    "follower_room",
    "is_follower_room",
    "is_private",
    "is_user_room",
    "session_of",
    "session_room",
    "user_of",
    "user_room",
]

MAX_ROOM_BYTES: Final = 200
LONG_USER_ID: Final = 64
_PRIVATE: Final = "\x01"
"""Rooms that the library keeps for itself begin with a control character, which no name of the application's may."""


class Audience(NamedTuple):
    """Everyone in any of ``rooms``, once each, who is also in all of ``within``, less ``excluded``.

    Args:
        rooms: room names; none means all connections.
        within: rooms of which a receiver must be a member as well.
        excluded: connection ids that are left out.
    """

    rooms: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    excluded: frozenset[str] = frozenset()

    @classmethod
    def of(cls, *rooms: str) -> Audience:
        """Everyone in any of the rooms, once each.

        Raises:
            TypeError: a name is not a str.
            ValueError: no room is named, or a name is not allowed.
        """
        if not rooms:
            raise ValueError("to() needs at least one room; broadcast() reaches everybody")
        return cls(tuple(map(check_room, rooms)))

    @classmethod
    def of_user(cls, user_id: str) -> Audience:
        """Every connection of one user."""
        return cls((user_room(user_id),))

    def narrowed(self, *rooms: str) -> Audience:
        """The connections of this audience that are members of all these rooms as well.

        Raises:
            TypeError: a name is not a str.
            ValueError: a name is not allowed.
        """
        return self._replace(within=self.within + tuple(map(check_room, rooms)))

    def without(self, *ids: str) -> Audience:
        """The connections of this audience but those with these ids."""
        return self._replace(excluded=self.excluded.union(ids))


EVERYONE: Final = Audience()


def check_room(name: str) -> str:
    """Return ``name`` if it may name a room.

    Raises:
        TypeError: it is not a str.
        ValueError: it is empty, holds a control character or a lone surrogate, or is over 200 UTF-8 bytes.
    """
    if not isinstance(name, str):
        raise TypeError(f"a room name is a str, not {type(name).__name__}: use str({name!r})")
    if name.isascii() and name.isprintable() and 0 < len(name) <= MAX_ROOM_BYTES:
        return name
    if not name:
        raise ValueError("a room name must not be empty")
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in name):
        raise ValueError(f"room name {name!r} holds a control character: leave it out")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"room name {name!r} holds a lone surrogate, which no UTF-8 text can") from None
    if size > MAX_ROOM_BYTES:
        raise ValueError(
            f"room name of {size} UTF-8 bytes: at most {MAX_ROOM_BYTES} are allowed; use an id or a hash of it"
        )
    return name


def check_user_id(user_id: Any) -> str:
    """The text of a user's id, by which the connections of the user are found in all processes.

    Raises:
        TypeError: it is no id but nobody, a user, a float or a container, whose text would silently reach nobody.
        ValueError: it is empty.
    """
    if isinstance(user_id, (str, int)) and not isinstance(user_id, bool):
        text = str(user_id)
        if not text:
            raise ValueError("a user's id must not be empty")
        return text
    kind = type(user_id)
    # The text of what has none of its own is its address, or its content as Python writes it.
    own_text: object = kind.__str__
    has_text = own_text is not object.__str__ and not isinstance(user_id, (bytes, bytearray, memoryview, Mapping))
    if user_id is None or not has_text or hasattr(user_id, "id") or hasattr(user_id, "pk"):
        raise TypeError(
            f"user() takes what identifies a user, such as user.id: a str, an int or a UUID, not {kind.__name__}"
        )
    return str(user_id)


def user_room(user_id: str) -> str:
    """The private room of everyone who authenticated as this user.

    A long id stands there as its hash: clients may have a say in it, and what a broker takes for a name has an end.
    """
    if len(user_id) > LONG_USER_ID:
        user_id = _PRIVATE + sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{_PRIVATE}user:{user_id}"


def user_of(room: str) -> str | None:
    """The user whose private room this is, or None. Of a long id there is nothing but a hash."""
    prefix = user_room("")
    return room[len(prefix) :].removeprefix(_PRIVATE) if room.startswith(prefix) else None


def session_room(session_id: str) -> str:
    """The private room of all connections of one session that has a user. Closing it ends the session everywhere."""
    return f"{_PRIVATE}session:{session_id}"


def browser_room(session_id: str) -> str:
    """The private room of all connections of one login whose user the application finds itself.

    Args:
        session_id: of Odac's session, which has no user then, or what the authenticator names the login.
    """
    return f"{_PRIVATE}browser:{session_id}"


def session_of(room: str) -> str | None:
    """The session whose private room this is, or None."""
    prefix = session_room("")
    return room[len(prefix) :] if room.startswith(prefix) else None


def follower_room(room: str, *, positioned: bool) -> str:
    """The private room of the members that get a room's kept messages live: with their positions, or without."""
    return f"{_PRIVATE}{'at' if positioned else 'log'}:{room}"


def is_follower_room(room: str) -> bool:
    """Whether this is a private room beside a room with history."""
    return room.startswith((f"{_PRIVATE}at:", f"{_PRIVATE}log:"))


def is_user_room(room: str) -> bool:
    """Whether this is the private room of one user."""
    return room.startswith(f"{_PRIVATE}user:")


def is_private(room: str) -> bool:
    """Whether the library keeps this room for itself, out of sight of ``rooms`` and ``rooms_per_connection``."""
    return room.startswith(_PRIVATE)
