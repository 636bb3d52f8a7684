"""The receivers of a message, as a value that can be sent to other processes."""

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
"""Internal rooms of the library begin with a control character, which the application's room names must not contain."""


class Audience(NamedTuple):
    """The connections in any of ``rooms``, once each, that are in all of ``within`` as well, without ``excluded``.

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
        """The connections in any of the rooms, once each.

        Raises:
            TypeError: a name is not a str.
            ValueError: no room is named, or a name is not allowed.
        """
        if not rooms:
            raise ValueError("to() needs at least one room; use broadcast() to reach all connections")
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
        """The connections of this audience without those with these ids.

        Raises:
            TypeError: an id is not a str.
        """
        for each in ids:
            if not isinstance(each, str):
                raise TypeError(
                    f"excluding() takes ids of connections, each a str such as odac.ws.id, not {type(each).__name__}"
                )
        return self._replace(excluded=self.excluded.union(ids))


EVERYONE: Final = Audience()


def check_room(name: str) -> str:
    """Return ``name`` if it may name a room.

    Raises:
        TypeError: it is not a str.
        ValueError: it is empty, contains a control character or a lone surrogate, or is over 200 UTF-8 bytes.
    """
    if not isinstance(name, str):
        raise TypeError(f"a room name is a str, not {type(name).__name__}: use str({name!r})")
    if name.isascii() and name.isprintable() and 0 < len(name) <= MAX_ROOM_BYTES:
        return name
    if not name:
        raise ValueError("a room name must not be empty")
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in name):
        raise ValueError(f"room name {name!r} contains a control character: leave it out")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"room name {name!r} contains a lone surrogate, which UTF-8 cannot encode") from None
    if size > MAX_ROOM_BYTES:
        raise ValueError(
            f"room name of {size} UTF-8 bytes: at most {MAX_ROOM_BYTES} are allowed; use an id or a hash of it"
        )
    return name


def check_user_id(user_id: Any) -> str:
    """The text of a user's id, which identifies the user's connections in all processes.

    Raises:
        TypeError: it is not an id but None, a user object, a float or a container: its text would match no user.
        ValueError: it is empty.
    """
    if isinstance(user_id, (str, int)) and not isinstance(user_id, bool):
        text = str(user_id)
        if not text:
            raise ValueError("a user's id must not be empty")
        return text
    kind = type(user_id)
    # Without a __str__ of its own, an object's text would be its address or its repr.
    own_text: object = kind.__str__
    has_text = own_text is not object.__str__ and not isinstance(user_id, (bytes, bytearray, memoryview, Mapping))
    if user_id is None or not has_text or hasattr(user_id, "id") or hasattr(user_id, "pk"):
        raise TypeError(
            f"user() needs what identifies a user, such as user.id: a str, an int or a UUID, not {kind.__name__}"
        )
    return str(user_id)


def user_room(user_id: str) -> str:
    """The private room of all connections that authenticated as this user.

    A long id is replaced by its hash: clients may be able to choose it, and brokers limit the length of names.
    """
    if len(user_id) > LONG_USER_ID:
        user_id = _PRIVATE + sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{_PRIVATE}user:{user_id}"


def user_of(room: str) -> str | None:
    """The user whose private room this is, or None. For a long id, this is only its hash."""
    prefix = user_room("")
    return room[len(prefix) :].removeprefix(_PRIVATE) if room.startswith(prefix) else None


def session_room(session_id: str) -> str:
    """The private room of all connections of one session that has a user. Closing it ends the session everywhere."""
    return f"{_PRIVATE}session:{session_id}"


def browser_room(session_id: str) -> str:
    """The private room of all connections of one login, for apps that look up the user themselves.

    Args:
        session_id: the id of Odac's session, which has no user then, or the authenticator's id of the login.
    """
    return f"{_PRIVATE}browser:{session_id}"


def session_of(room: str) -> str | None:
    """The session whose private room this is, or None."""
    prefix = session_room("")
    return room[len(prefix) :] if room.startswith(prefix) else None


def follower_room(room: str, *, positioned: bool) -> str:
    """The private room of the members that get a room's kept messages live, with or without their positions."""
    return f"{_PRIVATE}{'at' if positioned else 'log'}:{room}"


def is_follower_room(room: str) -> bool:
    """Whether this is the private room of a room with history (see :func:`follower_room`)."""
    return room.startswith((f"{_PRIVATE}at:", f"{_PRIVATE}log:"))


def is_user_room(room: str) -> bool:
    """Whether this is the private room of one user."""
    return room.startswith(f"{_PRIVATE}user:")


def is_private(room: str) -> bool:
    """Whether this is an internal room of the library, which ``rooms`` and ``rooms_per_connection`` leave out."""
    return room.startswith(_PRIVATE)
