"""Connects presence with the app's rules, the hub's connections and the bus."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from odac.close_codes import SUPERSEDED
from odac.presence.announcing import Announcer
from odac.presence.ports import SUBSYSTEM
from odac.presence.rules import Presence, encode_data
from odac.presence.service import PresenceService
from odac.realtime.audience import user_of
from odac.realtime.connection import Connection
from odac.realtime.patterns import Patterns
from odac.realtime.phase import Phase
from odac.realtime.ports import Members, SubsystemSender

__all__ = ["HubPresence", "person_of"]

_NAMES: Final = {"u": "", "s": "session:", "c": "connection:"}


class HubPresence:
    """Implements :class:`odac.realtime.ports.PresencePort`, and observes connections.

    Args:
        sign: returns a signature of 32 bytes with a secret that all processes share.
    """

    def __init__(self, sign: Callable[[bytes], bytes]) -> None:
        self._rules: Patterns[Presence] = Patterns()
        self._announcer = Announcer(sign)
        self._service: PresenceService | None = None
        # The data of connections that are not admitted yet. By connection, because the id may change on admission.
        self._early: dict[Connection, dict[str, bytes]] = {}

    def add(self, pattern: str, rule: Presence) -> None:
        """Turn presence on for the rooms that a pattern matches.

        Raises:
            TypeError: ``rule`` is not a :class:`Presence`.
            ConfigurationError: the pattern is no valid name, or was added before.
        """
        if not isinstance(rule, Presence):
            raise TypeError(f"rooms(presence=…) takes a Presence(…), not {type(rule).__name__}")
        self._rules.add(pattern, rule)

    def start(self, loop: AbstractEventLoop, sender: SubsystemSender) -> None:
        """Begin to follow the other processes."""
        self._service = PresenceService(loop, sender, self._announcer, forgotten=self._announcer.forget)
        sender.add(SUBSYSTEM, self._service)

    def stop(self) -> None:
        """Forget everything."""
        if self._service is not None:
            self._service.stop()
            self._service = None
        self._early.clear()

    def _rule(self, room: str) -> Presence:
        rule = self._rules.of(room)
        if rule is None:
            raise ValueError(
                f"room {room!r} has no presence: say app.rooms({room!r}, presence=Presence()) before the app starts"
            )
        return rule

    # Connections

    def check(self, room: str, data: Any) -> bytes:
        """The JSON text of what a connection joins a room with.

        Raises:
            TypeError: ``data`` cannot be encoded.
            ValueError: it is over 1,024 bytes, or the room has no presence.
        """
        self._rule(room)
        return encode_data(data)

    def join(self, connection: Connection, room: str, data: bytes) -> None:
        """A connection that is in a room is listed there from now on, or changes its person's data."""
        if connection.phase is Phase.ADMITTING:
            self._early.setdefault(connection, {})[room] = data
        elif self._service is not None:
            self._service.join(connection, room, self._rule(room), person_of(connection), data)

    def left(self, connection: Connection, room: str) -> None:
        """A connection has left a room."""
        early = self._early.get(connection)
        if early is not None:
            early.pop(room, None)
            if not early:
                del self._early[connection]  # nothing reports the end of a refused connection that is in no room
        elif self._service is not None:
            self._service.leave(connection.id, room)

    def recognized(self, connection: Connection) -> None:
        """A connection's user has become known."""
        if self._service is not None:
            self._service.identified(connection, person_of(connection))

    def admitted(self, connection: Connection) -> None:
        """One of :attr:`odac.realtime.hub.Hub.arrivals`."""
        for room, data in self._early.pop(connection, {}).items():
            self.join(connection, room, data)

    def ended(self, connection: Connection, code: int, reason: str) -> None:
        """See :class:`odac.realtime.ports.Observer`."""
        self._early.pop(connection, None)
        if self._service is not None:
            self._service.ended(connection.id, code, replaced=reason == SUPERSEDED)

    # Called by the application

    def figures(self) -> dict[str, int]:
        """See :meth:`odac.presence.service.PresenceService.figures`; empty while the app is not running."""
        return {} if self._service is None else self._service.figures()

    async def members(self, room: str, timeout: float) -> Members:  # noqa: ASYNC109 - part of the contract
        """Who is in a room, on all processes; on the event loop of the app.

        Raises:
            ValueError: the room has no presence.
            RuntimeError: the app is not running.
        """
        rule = self._rule(room)
        if self._service is None:
            raise RuntimeError("the app is not running: call ws_server.presence(room) between its start and its stop")
        found = await self._service.members(room, rule, timeout)
        users = {_NAMES[person[0]] + person[2:]: member for person, member in found.users.items()}
        return found._replace(users=users)


def person_of(connection: Connection) -> str:
    """The id of a connection's person on all processes: of the user, else of the session, else of the client."""
    user = next((user for room in connection.memberships if (user := user_of(room)) is not None), None)
    if user is not None:
        return f"u:{user}"
    if connection.session_id is not None:
        # A hash instead of the session's id, which is in the cookie: the application may log the members of a room.
        return f"s:{sha256(connection.session_id.encode('utf-8', 'surrogatepass')).hexdigest()[:22]}"
    return f"c:{connection.id.partition('.')[0]}"
