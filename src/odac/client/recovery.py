"""A client's positions in the rooms with history, from the server's control messages, without a clock or a socket."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from odac.close_codes import CloseCode
from odac.protocol.control import encode_control
from odac.protocol.message import Prepared

__all__ = ["MAX_BYTES", "MAX_ROOMS", "RESUME", "REJOINED_WITHIN", "Positions", "Recover"]

RESUME: Final = "odac.resume"
MAX_ROOMS: Final = 128
MAX_BYTES: Final = 64 * 1024
"""The largest ``resume``, in bytes. It has the rooms joined last, at most :data:`MAX_ROOMS`; others are reported as not
recovered.
"""
REJOINED_WITHIN: Final = 10.0
"""Seconds after the hello within which the server has to join the client to a room again; else it is not recovered."""
_FINAL: Final = frozenset({CloseCode.UNAUTHORIZED, CloseCode.FORBIDDEN})


@dataclass(frozen=True, slots=True)
class Recover:
    """The argument of the event ``recover``.

    Args:
        room: its name; None for the user's inbox.
        recovered: True: all missed messages have arrived, once and in order. False: some may be missing, so load the
            state again.
        count: how many missed messages have arrived.
    """

    room: str | None
    recovered: bool
    count: int


class _Position:
    __slots__ = ("epoch", "offset", "ticket")

    def __init__(self, epoch: str | None, offset: int, ticket: str) -> None:
        self.epoch = epoch
        self.offset = offset
        self.ticket = ticket


class Positions:
    """The positions of one client, over all its connections.

    Attributes:
        client: the client's id, signed by the server; None before the first hello that has one.
    """

    __slots__ = ("_expected", "_numbers", "_positions", "_recovering", "_unreported", "client")

    def __init__(self) -> None:
        self.client: str | None = None
        self._positions: dict[str | None, _Position] = {}
        self._unreported: dict[str | None, None] = {}  # of an earlier connection, and not reported on this one so far
        self._numbers: dict[int, str | None] = {}  # the server's number of a room, on this connection
        self._expected: deque[tuple[int, int]] = deque()  # the room's number and the offset of the next messages
        self._recovering: set[int] = set()  # the numbers of rooms whose missed messages are arriving

    @property
    def rooms(self) -> dict[str | None, int]:
        """The offset of the last message of each room."""
        return {room: position.offset for room, position in self._positions.items()}

    @property
    def is_waiting(self) -> bool:
        """Whether rooms of an earlier connection are still to be reported."""
        return bool(self._unreported)

    def resume(self) -> Prepared | None:
        """The message to send at once when a connection opens; None if there are no rooms to resume."""
        if self.client is None or not self._positions:
            return None
        newest = list(self._positions.items())[-MAX_ROOMS:]
        rooms = [[room, position.epoch, position.offset, position.ticket] for room, position in newest]
        while True:
            message = encode_control("resume", self.client, rooms)
            if len(message.payload) <= MAX_BYTES:
                return message
            rooms = rooms[len(rooms) // 4 + 1 :]

    def opened(self) -> None:
        """A connection opens: a ``recover`` is due for each room of the one before."""
        self._forget_connection()
        self._unreported = dict.fromkeys(self._positions)

    def closed(self, code: int) -> None:
        """The connection has ended."""
        self._forget_connection()
        if code in _FINAL:
            self.forget()

    def forget(self) -> None:
        """Drop all positions, because the connection has another user or none."""
        self._forget_connection()
        self._positions.clear()
        self._unreported.clear()
        self.client = None

    def _forget_connection(self) -> None:
        self._numbers.clear()
        self._expected.clear()
        self._recovering.clear()

    def overdue(self) -> list[Recover]:
        """Drop the rooms that the client was not joined to again, and return a ``recover`` for each. To be called
        :data:`REJOINED_WITHIN` seconds after the hello.
        """
        unreported, self._unreported = self._unreported, {}
        for room in unreported:
            self._positions.pop(room, None)
        return [Recover(room, False, 0) for room in unreported]

    def arrived(self) -> None:
        """An application message has arrived: move its room's position, before the listeners get it."""
        if self._expected:
            number, offset = self._expected.popleft()
            self._move(number, offset)

    def _move(self, number: int, offset: int) -> None:
        position = self._positions.get(self._numbers.get(number, ""))
        if position is not None and number in self._numbers:
            position.offset = offset

    def control(self, kind: str, values: list[Any]) -> Recover | None:
        """Handle a control message; return the ``recover`` to report. Malformed and unknown messages are ignored."""
        match kind, values:
            case "hello", [{"client": str() as client}, *_]:
                self.client = client
            case "hello", _:
                self.client = None
            case "room", [
                int() as number,
                (str() | None) as name,
                (str() | None) as epoch,
                int() as offset,
                str() as ticket,
                int() as status,
                *_,
            ]:
                return self._room(number, name, _Position(epoch, offset, ticket), status)
            case "at", [int() as number, *offsets] if all(type(offset) is int for offset in offsets):
                self._expected.extend([(number, offset) for offset in offsets])
            case "past", [int() as number, int() as offset, *_]:
                self._move(number, offset)
            case "live", [int() as number, int() as count, *_] if number in self._recovering:
                self._recovering.discard(number)
                return Recover(self._numbers[number], True, count)
            case "gap", [int() as number, (str() | None) as epoch, int() as offset, str() as ticket, *_]:
                if number in self._numbers:
                    self._recovering.discard(number)
                    self._positions[self._numbers[number]] = _Position(epoch, offset, ticket)
                    return Recover(self._numbers[number], False, 0)
            case "left", [int() as number, *_] if number in self._numbers:
                room = self._numbers.pop(number)
                self._positions.pop(room, None)
                self._recovering.discard(number)
        return None

    def _room(self, number: int, name: str | None, position: _Position, status: int) -> Recover | None:
        was_unreported = name in self._unreported
        self._unreported.pop(name, None)
        self._numbers[number] = name
        self._positions.pop(name, None)
        self._positions[name] = position  # behind the others: the room joined last
        if status == 1:
            self._recovering.add(number)
        elif status == 2 or (status == 0 and was_unreported):
            return Recover(name, False, 0)
        return None
