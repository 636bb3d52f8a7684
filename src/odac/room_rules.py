"""The rules of ``app.rooms()`` and ``app.users()``, and the histories and presence that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odac.errors import ConfigurationError
from odac.history.rules import History
from odac.presence.rules import Presence
from odac.realtime.hub import Hub
from odac.security.mac import Mac
from odac.security.secret import Secrets

if TYPE_CHECKING:
    from odac.history.rooms import HistoryRooms
    from odac.presence.hub_presence import HubPresence

__all__ = ["RoomRules"]


class RoomRules:
    """The rules for rooms and inboxes. Histories and presence are made, and imported, with the first rule for them.

    Args:
        hub: gets the histories and the presence that the rules need.
        secrets: sign the positions of clients, and the keys of people.
        broker_url: of the broker that keeps the histories.

    Attributes:
        broker_url: the same; :meth:`use_broker` changes it.
        history: the histories, once a rule asks for one.
        presence: the people, once a rule asks for them.
        declared: what was declared, in that order.
        is_fixed: the app runs, and no rule may be added.
    """

    __slots__ = ("_hub", "_secrets", "broker_url", "declared", "history", "is_fixed", "presence")

    def __init__(self, hub: Hub, secrets: Secrets, broker_url: str) -> None:
        self._hub = hub
        self._secrets = secrets
        self.broker_url = broker_url
        self.history: HistoryRooms | None = None
        self.presence: HubPresence | None = None
        self.declared: list[tuple[str, History | None, Presence | None]] = []
        self.is_fixed = False

    def add(self, pattern: str, history: History | None, presence: Presence | None) -> None:
        """Add a rule for rooms, or raise and change nothing; see :meth:`odac.Odac.rooms`."""
        if history is None and presence is None:
            raise ConfigurationError(
                f"rooms({pattern!r}): set at least one of history=History() and presence=Presence()"
            )
        self._check_not_fixed()
        rooms, people, book = self.history, self.presence, None
        if history is not None:
            rooms = self._make_rooms(self.broker_url) if rooms is None else rooms
            book = rooms.book.with_rooms(pattern, history)
        if presence is not None:
            people = self._make_presence() if people is None else people
            people.add(pattern, presence)
        # Nothing below raises: a rule that is refused leaves the app as it was.
        if rooms is not None and book is not None:
            rooms.book = book
            self._use_history(rooms)
        if people is not None:
            self._use_presence(people)
        self.declared.append((pattern, history, presence))

    def add_inboxes(self, history: History, replay: int) -> None:
        """Keep the messages of users' inboxes, or raise and change nothing; see :meth:`odac.Odac.users`."""
        self._check_not_fixed()
        rooms = self._make_rooms(self.broker_url) if self.history is None else self.history
        rooms.keep_inboxes(history, replay)
        self._use_history(rooms)

    def use_broker(self, url: str) -> None:
        """Use another broker than the app's own, as ``odac run --broker`` does.

        Raises:
            ConfigurationError: this broker keeps no history, and a rule asks for one; or the app runs. Then nothing has
                changed.
        """
        if self.is_fixed:
            raise ConfigurationError(f"broker_url = {url!r}: the app is running, so stop it first")
        former = self.history
        if former is not None:
            rooms = self._make_rooms(url)
            rooms.book, rooms.replay_of_users = former.book, former.replay_of_users
            self._use_history(rooms)
        self.broker_url = url

    def _make_presence(self) -> HubPresence:
        from odac.presence.hub_presence import HubPresence  # not imported by an app without presence

        return HubPresence(Mac(self._secrets.keys("presence")[0]).sign)

    def _use_presence(self, people: HubPresence) -> None:
        if self.presence is None:
            self.presence = self._hub.presence = people
            self._hub.observers.append(people)
            self._hub.arrivals.append(people.admitted)

    def _make_rooms(self, broker_url: str) -> HistoryRooms:
        from odac.cluster.history import make_rooms  # not imported by an app without history
        from odac.history.position import Tickets

        clients, tickets = self._secrets.keys("client v1"), self._secrets.keys("ticket v1")
        signer = Tickets([Mac(key) for key in clients], [Mac(key) for key in tickets])
        return make_rooms(broker_url, self._hub, signer)

    def _use_history(self, rooms: HistoryRooms) -> None:
        observers = self._hub.observers
        if self.history is None:
            observers.append(rooms)
        else:
            observers[observers.index(self.history)] = rooms
        self.history = self._hub.history = rooms

    def _check_not_fixed(self) -> None:
        if self.is_fixed:
            raise ConfigurationError("rooms() and users() configure the app: call them before it starts")
