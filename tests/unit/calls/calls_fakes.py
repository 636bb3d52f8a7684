"""Connections of one hub that answer calls, and what their peers are sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from odac.calls.client_call import AnswerFunction
from odac.calls.service import Calls
from odac.config import Limits
from odac.protocol.control import decode_control
from odac.realtime.connection import Connection
from tests.unit.realtime.realtime_fakes import Room, idle, lane_of


def answer(function: Callable[..., Any], convert: Callable[[object], object] | None = None) -> AnswerFunction:
    return AnswerFunction(function, convert, None, None, function)


class Site:
    """A hub whose connections answer calls; to be made while an event loop runs.

    Args:
        answers: functions of the call and its arguments, by name.
        limits: of the hub.
    """

    def __init__(self, answers: Mapping[str, AnswerFunction] | None = None, limits: Limits | None = None) -> None:
        self.room = Room(limits, asyncio.get_running_loop())
        self.calls = Calls(self.room.hub)
        self.answers = answers or {}

    def connect(self, *, session: str | None = None, user: str | None = None, busy: bool = False) -> Connection:
        """One more connection of a route that answers calls.

        Args:
            session: of the client.
            user: of the client.
            busy: whether the route's handler still runs, which may read messages.
        """
        connection = self.room.connect(speaks_odac=True, bare=False)
        self.calls.prepare(connection, self.answers, lambda call: call, session, user)
        if not busy:
            connection.inbox.handler_returned()
        return connection


def arrives(connection: Connection, *control: object) -> None:
    """A control message of the client arrives."""
    connection.inbox.receive_text(b"\x1e" + json.dumps(control).encode())


async def said(connection: Connection) -> list[tuple[Any, ...]]:
    """The control messages that the client has got, once everything that is ready has run."""
    await idle()
    found = []
    for opcode, payload in lane_of(connection).frames:
        message = decode_control(payload) if opcode == 1 else None
        if message is not None:
            found.append((message[0], *message[1]))
    return found
