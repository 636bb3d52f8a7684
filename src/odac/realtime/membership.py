"""How a connection joins and leaves a room: with history, with presence, and up to ``Limits.rooms_per_connection``.

While a delivery writes to the members of a room, joining and leaving are postponed until it is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odac.notices import limit_met
from odac.realtime.audience import user_room
from odac.realtime.phase import CLOSING
from odac.realtime.receipts import JOINED, MAX_REPLAY, Joined

if TYPE_CHECKING:
    from odac.realtime.history import RoomHistory
    from odac.realtime.internal_ports import HubOfConnection, RoomsOwner
    from odac.realtime.ports import PresencePort

__all__ = ["join", "join_inbox", "leave"]


def join(connection: RoomsOwner, hub: HubOfConnection, room: str, replay: int, presence: Any) -> Joined:
    """Join a room; see :meth:`odac.realtime.connection.Connection.join`, which has checked the name."""
    if presence is not None:
        return _join_with_presence(connection, hub, room, replay, presence)
    history = hub.history
    if history is not None and history.keeps(room):
        return _join_with_history(connection, hub, history, room, replay)
    if replay:
        raise ValueError(
            f"replay={replay!r}: room {room!r} has no history; app.rooms(…, history=History(…)) gives it one"
        )
    _enter(connection, hub, room)
    return JOINED


def _join_with_presence(connection: RoomsOwner, hub: HubOfConnection, room: str, replay: int, data: Any) -> Joined:
    port = hub.presence
    if port is None:
        raise ValueError(f"no room has presence: call app.rooms({room!r}, presence=Presence()) before the app starts")
    text = port.check(room, data)
    joined = join(connection, hub, room, replay, None)
    _list_in_room(connection, hub.history, port, room, text)
    return joined


def _list_in_room(
    connection: RoomsOwner, history: RoomHistory | None, port: PresencePort, room: str, text: bytes
) -> None:
    if connection.delivery.is_writing:
        connection.delivery.later(_list_in_room, connection, history, port, room, text)
        return
    if (
        history is not None
        and history.is_leaving(connection, room)
        and history.behind((room,), lambda: _list_in_room(connection, history, port, room, text))
    ):
        return  # its leave takes it off the list, and it joins again behind that
    if room in connection.memberships and connection.phase < CLOSING:
        port.join(connection, room, text)


def _join_with_history(
    connection: RoomsOwner, hub: HubOfConnection, history: RoomHistory, room: str, replay: int
) -> Joined:
    if type(replay) is not int or not 0 <= replay <= MAX_REPLAY:
        raise ValueError(f"replay={replay!r}: must be a whole number from 0 to {MAX_REPLAY}")
    if connection.delivery.is_writing:
        connection.delivery.later(_join_with_history, connection, hub, history, room, replay)
        return JOINED
    leaving = history.is_leaving(connection, room)
    if connection.phase >= CLOSING or (room in connection.memberships and not leaving):
        return JOINED
    _enter(connection, hub, room)
    return history.join(connection, room, replay)


def _enter(connection: RoomsOwner, hub: HubOfConnection, room: str) -> None:
    if connection.delivery.is_writing:
        connection.delivery.later(_enter, connection, hub, room)
    elif connection.phase < CLOSING and room not in connection.memberships:
        _check_room_for_one_more(connection)
        hub.enter(connection, room)


def _check_room_for_one_more(connection: RoomsOwner) -> None:
    """Raise ValueError if the connection is in the maximum number of rooms."""
    limit = connection.policy.limits.rooms_per_connection
    # `rooms` leaves out Odac's own rooms; counting it takes time, so it is done only where the limit may be reached.
    if len(connection.memberships) >= limit and len(connection.rooms) >= limit:
        limit_met(
            "rooms_per_connection",
            "%s: a connection tried to join more than %d rooms (Limits.rooms_per_connection)",
            connection.policy.path,
            limit,
        )
        raise ValueError(
            f"the connection is in {limit} rooms, the maximum: leave one, or raise Limits.rooms_per_connection"
        )


def join_inbox(connection: RoomsOwner, hub: HubOfConnection, user_id: str) -> None:
    """A connection's user is known: messages to the user reach it from now on."""
    room = user_room(user_id)
    history = hub.history
    if history is not None:
        history.recognized(connection, user_id)
        if room not in connection.memberships and history.keeps(room):
            hub.enter(connection, room)
            history.join(connection, room, history.replay_of_users)
    hub.enter(connection, room)
    if hub.presence is not None:
        hub.presence.recognized(connection)


def leave(connection: RoomsOwner, hub: HubOfConnection, room: str) -> None:
    """Leave a room, after the connection's messages that the room's history has not confirmed yet."""
    if connection.delivery.is_writing:
        connection.delivery.later(leave, connection, hub, room)
        return
    history = hub.history
    if history is not None and history.keeps(room):
        # A connection that is about to join again is not a member now, but has to leave after that.
        is_member = room in connection.memberships or history.is_leaving(connection, room)
        if not is_member or history.leaves(connection, room, lambda: _depart(connection, hub, room)):
            return
    if room in connection.memberships:
        hub.depart(connection, room)


def _depart(connection: RoomsOwner, hub: HubOfConnection, room: str) -> None:
    if connection.phase < CLOSING and room in connection.memberships:
        hub.depart(connection, room)
