"""Presence over sockets: both lanes, both event loops, and a client that reconnects."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.sync.client import ClientConnection

from odac import Context, History, Odac, Presence
from odac.client.presence import PresenceChange, Rosters
from odac.close_codes import SUPERSEDED
from tests.integration.harness import DEADLINE, OpenRoutes, Probe, Server, closing

GRACE = 0.5


def build(probe: Probe) -> Odac:
    app = Odac(secret="x" * 32)
    app.rooms("room", presence=Presence(grace=GRACE))
    app.rooms("both", presence=Presence(grace=20.0), history=History())
    ws = OpenRoutes(app, rate_limit=None)

    @ws("/in/{room}")
    def room(odac: Context) -> None:
        name = odac.request.data.url["room"]
        me = odac.request.query.get("name")
        delay = float(odac.request.query.get("after") or 0)
        if delay:
            odac.set_timeout(delay, lambda: odac.ws.join(name, presence={"name": me}))
        else:
            odac.ws.join(name, presence={"name": me})

        @odac.ws.on("message")
        async def message(message: Any) -> None:
            match message:
                case "leave":
                    odac.ws.leave(name)
                case ["close", int(code)]:
                    odac.ws.close(code)
                case "who":
                    there = await app.route.ws_server.presence(name)
                    odac.ws.send([there.total, sorted(each.data["name"] for each in there.users.values())])
                case _:
                    odac.ws.join(name, presence={"name": me, "says": message})

    return app


class Person:
    """A page with what it has drawn."""

    def __init__(self, client: ClientConnection) -> None:
        self.client = client
        self.rosters = Rosters()
        self.messages: list[Any] = []
        self.name: str | None = None  # signed, as the server's hello has it
        self.position: list[Any] = []

    def next(self) -> PresenceChange:
        """The next thing that is told of people."""
        while True:
            message = self.client.recv(DEADLINE)
            assert isinstance(message, str)
            if not message.startswith("\x1e"):
                self.messages.append(json.loads(message))
                continue
            kind, *values = json.loads(message[1:])
            if kind == "hello":
                self.name = values[0].get("client")
            if kind == "room":
                self.position = values[1:5]
            change = self.rosters.receive(kind, values)
            if change is not None:
                return change

    def until(self, *names: str) -> PresenceChange:
        """Read on until exactly these people are drawn."""
        while True:
            change = self.next()
            if sorted(person.data["name"] for person in change.users) == sorted(names):
                assert change.total == len(names)
                return change


@pytest.fixture
def ada(server: Server) -> Any:
    with server.connect("/in/room?name=Ada", v1=True) as client:
        yield Person(client)


def test_people_come_change_and_go(server: Server, ada: Person) -> None:
    ada.until("Ada")
    with server.connect("/in/room?name=Bob", v1=True) as client:
        bob = Person(client)
        bob.until("Ada", "Bob")
        assert [person.data for person in ada.until("Ada", "Bob").joined] == [{"name": "Bob"}]
        client.send('"hello"')
        assert [person.data for person in ada.next().changed] == [{"name": "Bob", "says": "hello"}]
        client.send("leave")
        assert [person.data["name"] for person in ada.until("Ada").left] == ["Bob"]
        bob.until()
        client.send('"back"')
        ada.until("Ada", "Bob")
        bob.until("Ada", "Bob")


@pytest.mark.parametrize("code", [1000, 4001, 4003])
@pytest.mark.parametrize("side", ["server", "client"])
def test_a_final_close_is_shown_at_once(server: Server, ada: Person, code: int, side: str) -> None:
    with server.connect("/in/room?name=Bob", v1=True) as client:
        ada.until("Ada", "Bob")
        if side == "client":
            client.close(code)
        else:
            client.send(json.dumps(["close", code]))
        ada.until("Ada")
        ada.client.send("who")
        while not ada.messages:
            message = ada.client.recv(DEADLINE)
            assert isinstance(message, str)
            if not message.startswith("\x1e"):
                ada.messages.append(json.loads(message))
        assert ada.messages == [[1, ["Ada"]]]


def test_a_client_without_odac_v1_is_listed_and_gets_no_presence(server: Server, ada: Person) -> None:
    ada.until("Ada")
    with server.connect("/in/room?name=Bob") as client:
        ada.until("Ada", "Bob")
        client.send("who")
        assert json.loads(client.recv(DEADLINE)) == [2, ["Ada", "Bob"]]


def test_a_lost_connection_has_left_after_the_grace(server: Server, ada: Person) -> None:
    with server.connect("/in/room?name=Bob", v1=True) as client:
        ada.until("Ada", "Bob")
        client.socket.close()
        assert [person.data["name"] for person in ada.until("Ada").left] == ["Bob"]


def test_an_older_connection_of_the_same_client_is_no_leaving(server: Server) -> None:
    with (
        server.connect("/in/both?name=Ada", v1=True) as watching,
        server.connect("/in/both?name=Bob", v1=True) as older,
    ):
        ada, bob = Person(watching), Person(older)
        ada.until("Ada", "Bob")
        bob.until("Ada", "Bob")
        # The older one has ended for a while when the newer one joins.
        with server.connect("/in/both?name=Bob&after=1", v1=True, subprotocols=["odac.resume"]) as newer:
            newer.send("\x1e" + json.dumps(["resume", bob.name, [bob.position]]))
            assert closing(older) == (1000, SUPERSEDED)
            Person(newer).until("Ada", "Bob")
            newer.send(json.dumps("still here"))
            change = ada.next()
            while not change.changed:
                assert (change.joined, change.left) == ([], [])
                change = ada.next()
            assert ([person.data for person in change.changed], change.joined, change.left) == (
                [{"name": "Bob", "says": "still here"}],
                [],
                [],
            )


def test_members_can_be_requested_from_another_event_loop(server: Server, ada: Person) -> None:
    ada.until("Ada")
    assert isinstance(server.app, Odac)
    there = asyncio.run(server.app.route.ws_server.presence("room"))
    assert ([member.data for member in there.users.values()], there.total, there.complete) == (
        [{"name": "Ada"}],
        1,
        True,
    )
