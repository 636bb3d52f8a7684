"""Whom a message is for, as a value that travels between processes."""

from __future__ import annotations

from hashlib import sha256
from typing import Final, NamedTuple

__all__ = ["EVERYONE", "Audience", "check_room", "is_private", "session_of", "session_room", "user_room"]

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


def user_room(user_id: str) -> str:
    """The private room of everyone who authenticated as this user.

    A long id stands there as its hash: clients may have a say in it, and what a broker takes for a name has an end.
    """
    if len(user_id) > LONG_USER_ID:
        user_id = _PRIVATE + sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{_PRIVATE}user:{user_id}"


def session_room(session_id: str) -> str:
    """The private room of all connections of one session."""
    return f"{_PRIVATE}session:{session_id}"


def session_of(room: str) -> str | None:
    """The session whose private room this is, or None."""
    prefix = session_room("")
    return room[len(prefix) :] if room.startswith(prefix) else None


def is_private(room: str) -> bool:
    """Whether the library keeps this room for itself, out of sight of ``rooms`` and ``rooms_per_connection``."""
    return room.startswith(_PRIVATE)
