"""Sends from views, models, management commands and tasks, once the transaction that they run in is committed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import transaction

from odac.brokers.registry import default_url
from odac.cluster.envelope import Close, Move, RoomMessage
from odac.contrib.django.application import broker_url, running, secrets
from odac.contrib.django.authentication import login_name
from odac.errors import BrokerNotConfigured
from odac.protocol.message import Prepared
from odac.publishing.addressing import Addressing, Target
from odac.publishing.publisher import Publisher
from odac.realtime.audience import Audience, browser_room, check_user_id
from odac.security.secret import Secrets
from odac.security.session import Sessions
from odac.security.users import identify

__all__ = ["DjangoPublisher", "publisher"]


class DjangoPublisher(Addressing[None]):
    """Sends to clients from anywhere in a Django project, with ``transaction.on_commit``.

    Without an open transaction, and in asynchronous code, it sends at once. The process that serves the app sends to
    the connections directly; under WSGI, in a management command or in a Celery task, messages go through the broker of
    the setting ``ODAC_BROKER`` (or ``$ODAC_BROKER``). An error at a commit is logged by Django, and does not undo it.

    Args:
        using: the alias of the database whose transaction it waits for; default: ``"default"``.
    """

    def __init__(self, using: str | None = None) -> None:
        self._using = using
        self._publisher: Publisher | None = None
        self._lock = threading.Lock()

    def user(self, user_id: Any) -> Target[None]:
        """Every connection of a user.

        Args:
            user_id: a user or its primary key.

        Raises:
            TypeError: it is not a user, such as ``AnonymousUser``.
        """
        return Target(self, Audience.of_user(check_user_id(identify(user_id))))

    def session(self, request: Any) -> Target[None]:
        """Every connection of the browser that sent this request, and of no other device of its user.

        Args:
            request: Django's.
        """
        rooms = []
        app = running()
        sessions = app.auth.sessions if app is not None else Sessions(Secrets(secrets()))
        cookie = sessions.find(request.COOKIES, request.is_secure()).session
        if cookie is not None:
            rooms.append(browser_room(cookie.id))
        # With signed cookies, the key is the cookie itself, which two logins in one second may have in common.
        if cookie is None or not settings.SESSION_ENGINE.endswith(".signed_cookies"):
            keys = {request.COOKIES.get(settings.SESSION_COOKIE_NAME), getattr(request.session, "session_key", None)}
            rooms += [browser_room(login_name(key)) for key in keys if key]
        if not rooms:
            rooms.append(browser_room("none"))  # an audience without rooms would be all connections
        return Target(self, Audience(tuple(rooms)))

    def _send(self, item: RoomMessage, keep: bool) -> None:
        self._on_commit(lambda: self._send_now(item, keep))

    def _publish(self, item: Close | Move) -> None:
        self._on_commit(lambda: self._publish_now(item))

    def _on_commit(self, call: Callable[[], None]) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            transaction.on_commit(call, using=self._using, robust=True)
        else:  # no transaction can be open here: atomic blocks are synchronous
            call()

    def _send_now(self, item: RoomMessage, keep: bool) -> None:
        app = running()
        if app is None:
            self._broker_publisher()._send(item, keep)
        else:
            app._hub.send(item.audience, Prepared(item.opcode, item.payload), keep)

    def _publish_now(self, item: Close | Move) -> None:
        app = running()
        if app is None:
            self._broker_publisher()._publish(item)
        elif isinstance(item, Close):
            app._hub.orders.close(item.audience, item.code, item.reason)
        else:
            app._hub.orders.move(item.audience, item.room, joins=item.joins)

    def _broker_publisher(self) -> Publisher:
        with self._lock:
            if self._publisher is None:
                url = broker_url() or default_url()
                if url == "memory://":
                    raise BrokerNotConfigured(
                        "this process does not serve the app, so it can reach clients only through a broker: set"
                        " ODAC_BROKER, in the settings or in the environment of this process and of the server, to"
                        " 'redis://localhost' or, on one machine, to a name such as 'local://shop'"
                    )
                self._publisher = Publisher(url)
            return self._publisher


publisher = DjangoPublisher()
"""The publisher for the default database."""
