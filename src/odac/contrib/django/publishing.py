"""Sending from views, models, management commands and tasks: once the transaction that they run in is committed."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from django.conf import settings
from django.db import transaction

from odac.close_codes import CloseCode
from odac.cluster.envelope import Close, RoomMessage
from odac.contrib.django.application import broker_url, running, secrets
from odac.contrib.django.authentication import login_name
from odac.protocol.message import Prepared
from odac.publishing.publication import binary_message, closing, message
from odac.publishing.publisher import Publisher
from odac.realtime.audience import EVERYONE, Audience, browser_room, check_user_id
from odac.security.secret import Secrets
from odac.security.session import Sessions
from odac.security.users import identify

__all__ = ["DjangoPublisher", "Target", "publisher"]


class DjangoPublisher:
    """Sends to clients from anywhere in a Django project, with ``transaction.on_commit``.

    Where no transaction is open, and in asynchronous code, it sends at once. In the process that serves the app it goes
    straight to the connections; under WSGI, in a management command or in a Celery task, through the broker that the
    setting ``ODAC_BROKER`` (or ``$ODAC_BROKER``) names. What goes wrong at a commit is logged by Django, and does not
    undo it.

    Args:
        using: the alias of the database whose transaction counts; default: ``"default"``.
    """

    def __init__(self, using: str | None = None) -> None:
        self._using = using
        self._outside: Publisher | None = None
        self._lock = threading.Lock()

    def to(self, *rooms: str) -> Target:
        """Everyone in any of these rooms, once each.

        Raises:
            ValueError: no room is named, or a name is not allowed.
        """
        return Target(self, Audience.of(*rooms))

    def user(self, user: Any) -> Target:
        """Every connection of a user.

        Args:
            user: a user or its primary key.

        Raises:
            TypeError: it is nobody, such as ``AnonymousUser``.
        """
        return Target(self, Audience.of_user(check_user_id(identify(user))))

    def session(self, request: Any) -> Target:
        """Every connection of the browser that sent this request, and of no other device of its user.

        Args:
            request: Django's.
        """
        rooms = []
        app = running()
        sessions = app.auth.sessions if app is not None else Sessions(Secrets(secrets()))
        found = sessions.find(request.COOKIES, request.is_secure()).session
        if found is not None:
            rooms.append(browser_room(found.id))
        # The key of a session in a signed cookie is the cookie: two logins of one second may have the same.
        if found is None or not settings.SESSION_ENGINE.endswith(".signed_cookies"):
            keys = {request.COOKIES.get(settings.SESSION_COOKIE_NAME), getattr(request.session, "session_key", None)}
            rooms += [browser_room(login_name(key)) for key in keys if key]
        if not rooms:
            rooms.append(browser_room("none"))  # an audience without rooms is everybody
        return Target(self, Audience(tuple(rooms)))

    def to_room(self, room: str, data: object) -> None:
        """Send to a room; see :meth:`Target.send`."""
        self.to(room).send(data)

    def broadcast(self, data: object) -> None:
        """Send to all clients; see :meth:`Target.send`."""
        Target(self, EVERYONE).send(data)

    def _on_commit(self, item: RoomMessage | Close) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            transaction.on_commit(lambda: self._publish(item), using=self._using, robust=True)
        else:  # no transaction can be open here: atomic blocks are synchronous
            self._publish(item)

    def _publish(self, item: RoomMessage | Close) -> None:
        app = running()
        if app is None:
            self._from_outside()._publish(item)
        elif isinstance(item, Close):
            app._hub.orders.close(item.audience, item.code, item.reason)
        else:
            app._hub.send(item.audience, Prepared(item.opcode, item.payload))

    def _from_outside(self) -> Publisher:
        with self._lock:
            if self._outside is None:
                self._outside = Publisher(broker_url())
            return self._outside


class Target:
    """Whom to send to: made by ``to(…)``, ``user(…)`` and ``session(…)``, made narrower by the first two methods."""

    __slots__ = ("_audience", "_publisher")

    def __init__(self, publisher: DjangoPublisher, audience: Audience) -> None:
        self._publisher = publisher
        self._audience = audience

    def excluding(self, *ids: str) -> Target:
        """Leave out the connections with these ids."""
        return Target(self._publisher, self._audience.without(*ids))

    def within(self, *rooms: str) -> Target:
        """Keep only members of these rooms as well.

        Raises:
            ValueError: a name is not allowed.
        """
        return Target(self._publisher, self._audience.narrowed(*rooms))

    def send(self, data: object) -> None:
        """Send once the transaction is committed. The data is encoded now: later changes to it are not sent.

        Raises:
            TypeError: ``data`` cannot be encoded.
        """
        self._publisher._on_commit(message(self._audience, data))

    def send_binary(self, data: Any) -> None:
        """Send any bytes-like object as a binary message; see :meth:`send`.

        Raises:
            TypeError: ``data`` has no buffer.
        """
        self._publisher._on_commit(binary_message(self._audience, data))

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close the connections once the transaction is committed.

        Raises:
            ValueError: the code may not be sent, or the reason is over 123 UTF-8 bytes.
        """
        self._publisher._on_commit(closing(self._audience, code, reason))


publisher = DjangoPublisher()
"""Of the default database."""
