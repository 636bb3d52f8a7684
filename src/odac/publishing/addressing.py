"""The methods that all publishers share: they choose an audience, send to it, close its connections or move them.

:class:`odac.Publisher`, :class:`odac.AsyncPublisher` and Django's publisher inherit :class:`Addressing`, which is
generic in what the calls return: None, or a coroutine to await.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from odac.close_codes import CloseCode
from odac.cluster.envelope import Close, Move, RoomMessage
from odac.publishing.publication import binary_message, closing, message, moving
from odac.realtime.audience import EVERYONE, Audience, check_user_id

__all__ = ["Addressing", "Target"]

R = TypeVar("R")
"""What a call returns."""


class Addressing(ABC, Generic[R]):
    """Chooses an audience. A publisher inherits this, and implements how messages and orders are sent."""

    @abstractmethod
    def _send(self, item: RoomMessage, keep: bool) -> R:
        """Send a message; with ``keep``, into the history of its room, if the room has one."""

    @abstractmethod
    def _publish(self, item: Close | Move) -> R:
        """Send an order to the processes of the app."""

    def to(self, *rooms: str) -> Target[R]:
        """The connections in any of these rooms, once each.

        Raises:
            TypeError: a name is not a str.
            ValueError: there is no room, or a name is not allowed.
        """
        return Target(self, Audience.of(*rooms))

    def user(self, user_id: Any) -> Target[R]:
        """Every connection that authenticated as this user.

        Args:
            user_id: what identifies the user in the app, such as ``user.pk``: a str, an int or a UUID.

        Raises:
            TypeError: it is a user object, None, or something else that is not an id.
            ValueError: it is empty.
        """
        return Target(self, Audience.of_user(check_user_id(user_id)))

    def to_room(self, room: str, data: object, keep: bool = True) -> R:
        """Send a message to a room; see :meth:`Target.send`."""
        return self.to(room).send(data, keep)

    def broadcast(self, data: object) -> R:
        """Send a message to all clients; see :meth:`Target.send`."""
        return Target(self, EVERYONE).send(data)


class Target(Generic[R]):
    """The connections in some rooms or of a user; :meth:`excluding` and :meth:`within` leave some of them out.

    The methods of :class:`odac.Publisher` return when the broker has confirmed the message, and those of
    :class:`odac.AsyncPublisher` are awaited until then. Those of Django's publisher send after the commit, and Django
    logs an error of the broker.
    """

    __slots__ = ("_audience", "_publisher")

    def __init__(self, publisher: Addressing[R], audience: Audience) -> None:
        self._publisher = publisher
        self._audience = audience

    def excluding(self, *ids: str) -> Target[R]:
        """Leave out the connections with these ids.

        Raises:
            TypeError: an id is not a str.
        """
        return Target(self._publisher, self._audience.without(*ids))

    def within(self, *rooms: str) -> Target[R]:
        """Keep only the connections that are members of these rooms as well.

        Raises:
            ValueError: a name is not allowed.
        """
        return Target(self._publisher, self._audience.narrowed(*rooms))

    def send(self, data: object, keep: bool = True) -> R:
        """Send them a message. The data is encoded now: later changes to it are not sent.

        Args:
            data: as for ``odac.ws.send``.
            keep: whether the message is stored in the room's history, if the room has one by the rules that the app has
                written into the broker.

        Raises:
            TypeError: ``data`` cannot be encoded.
            ValueError: it is to be kept, and is for several rooms of which one has history.
            BrokerError: the broker did not confirm it in time.
        """
        return self._publisher._send(message(self._audience, data), keep)

    def send_binary(self, data: Any, keep: bool = True) -> R:
        """Send them any bytes-like object as a binary message; see :meth:`send`.

        Raises:
            TypeError: ``data`` is not bytes-like.
            ValueError: it is to be kept, and is for several rooms of which one has history.
            BrokerError: the broker did not confirm it in time.
        """
        return self._publisher._send(binary_message(self._audience, data), keep)

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> R:
        """Close their connections.

        Raises:
            ValueError: the code may not be sent, or the reason is over 123 UTF-8 bytes.
            BrokerError: the broker did not confirm it in time.
        """
        return self._publisher._publish(closing(self._audience, code, reason))

    def join(self, room: str) -> R:
        """Have them join a room; see :meth:`odac.realtime.targets.Target.join`.

        Raises:
            ValueError: the name is not allowed.
            BrokerError: the broker did not confirm it in time.
        """
        return self._publisher._publish(moving(self._audience, room, joins=True))

    def leave(self, room: str) -> R:
        """Have them leave a room.

        Raises:
            ValueError: the name is not allowed.
            BrokerError: the broker did not confirm it in time.
        """
        return self._publisher._publish(moving(self._audience, room, joins=False))
