"""The control messages that inform members about the people in a room."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable
from functools import lru_cache
from typing import Final, cast

import msgspec

from odac.presence.ports import Viewer
from odac.presence.roster import News
from odac.protocol.control import encode_control
from odac.realtime.connection import Connection

__all__ = ["Announcer"]

_KEY_BYTES: Final = 9
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


class Announcer:
    """Sends the changes of a room, encoded once for all receivers.

    In messages to clients, a person is identified by a key that is specific to the room. It reveals neither that the
    same person is in another room, nor the user's id, which may be an email address.

    Args:
        sign: returns a signature of 32 bytes with a secret that all processes share.
    """

    def __init__(self, sign: Callable[[bytes], bytes]) -> None:
        self._numbers: dict[str, int] = {}
        self._last = 0

        @lru_cache(maxsize=16_384)  # some 8 MB with the longest names
        def key(room: str, person: str) -> str:
            signed = sign(f"{len(room)}:{room}{person}".encode("utf-8", "surrogatepass"))[:_KEY_BYTES]
            return b2a_base64(signed, newline=False).translate(_URL_SAFE).decode("ascii")

        self._key = key

    def __call__(self, room: str, news: News, viewers: list[Viewer]) -> None:
        """Send the changes of a room to viewers."""
        number = self._number(room)
        key = self._key
        people = left = None
        if news.people is not None and news.left is not None:
            people = [(key(room, person), msgspec.Raw(data)) for person, data in news.people]
            left = [key(room, person) for person in news.left]
        if news.whole:
            message = encode_control("here", number, people, news.total, room)
        else:
            message = encode_control("diff", number, people, left, news.total)
        for viewer in viewers:
            cast("Connection", viewer).put(message)

    def _number(self, room: str) -> int:
        number = self._numbers.get(room)
        if number is None:
            self._last = number = self._last + 1
            self._numbers[room] = number
        return number

    def forget(self, room: str) -> None:
        """The room is no longer needed; its number is not used again."""
        self._numbers.pop(room, None)
