"""Rooms, broadcasts and ``ws_server``: which connections get a message, once and in order."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from websockets.sync.client import ClientConnection

from odac import Context, Odac
from tests.integration.harness import OpenRoutes, Probe, Server, closing, everybody, receive, receive_all


def build(probe: Probe) -> Odac:
    app = Odac(secret="x" * 32)
    ws = OpenRoutes(app, rate_limit=None)

    @ws("/command")
    def command(odac: Context) -> None:
        """Does what the client asks, all of it within one tick: a list of [verb, arguments…]."""
        here = odac.ws

        def follow(commands: list[Any]) -> None:
            for verb, *arguments in commands:
                if verb == "to":
                    rooms, data, *more = arguments
                    target = here.to(*rooms)
                    for kind, *values in more:
                        target = target.excluding(here, *values) if kind == "excluding" else target.within(*values)
                    target.send(data)
                elif verb == "others":
                    here.broadcast(arguments[0], include_self=False)
                elif verb == "binary":
                    here.to(arguments[0]).send_binary(arguments[1].encode())
                else:
                    getattr(here, verb)(*arguments)
            here.send("done") if here.ready_state == 1 else None

        here.on("message", follow)
        here.send(here.id)

    @ws("/rooms")
    def rooms(odac: Context) -> None:
        odac.ws.join("b")
        odac.ws.join("a")
        odac.ws.join("b")
        odac.ws.leave("never joined")
        odac.ws.send(odac.ws.rooms)
        odac.ws.leave("b")
        odac.ws.send(odac.ws.rooms)

    @ws("/names")
    def names(odac: Context) -> None:
        @odac.ws.on("message")
        def join(name: Any) -> None:
            try:
                odac.ws.join(name)
            except (TypeError, ValueError) as error:
                odac.ws.send([type(error).__name__, str(error)])
            else:
                odac.ws.send("joined")

    @ws("/count")
    def count(odac: Context) -> None:
        odac.ws.join("counted")
        odac.ws.send([app.route.ws_server.client_count, odac.ws.id in app.route.ws_server.clients])

    @ws("/leaves-in-close")
    def leaves_in_close(odac: Context) -> None:
        odac.ws.join("room")

        @odac.ws.on("close")
        def clean_up() -> None:
            probe("rooms at the end", odac.ws.rooms)
            odac.ws.leave("room")
            odac.ws.to("room").send("gone")
            probe("left", odac.ws.rooms)

        odac.ws.send("ready")

    return app


class Person:
    """A client that commands its connection."""

    def __init__(self, client: ClientConnection) -> None:
        self.client = client
        self.id = receive(client)

    def does(self, *commands: list[Any]) -> Person:
        self.client.send(json.dumps(commands))
        return self

    def done(self) -> list[Any]:
        """Everything that arrives up to the answer of the last command."""
        got = []
        while (message := receive(self.client)) != "done":
            got.append(message)
        return got

    def joins(self, *rooms: str) -> Person:
        self.does(*(["join", room] for room in rooms))
        assert self.done() == []
        return self

    def gets(self, count: int) -> list[Any]:
        return receive_all(self.client, count)

    def gets_nothing(self) -> None:
        """What was sent before this has arrived, and it was nothing."""
        assert self.does(["send", "nothing"]).done() == ["nothing"]


@pytest.fixture
def people(server: Server) -> Iterator[list[Person]]:
    with everybody(*(server.connect("/command") for _ in range(3))) as clients:
        yield [Person(each) for each in clients]


def test_a_room_message_reaches_its_members_and_the_sender_if_it_is_one(people: list[Person]) -> None:
    ada, bob, eve = people
    ada.joins("r")
    bob.joins("r")
    ada.does(["to", ["r"], {"hello": 1}])
    assert ada.done() == [{"hello": 1}]
    assert bob.gets(1) == [{"hello": 1}]
    eve.does(["to", ["r"], "from outside"]).done()
    assert bob.gets(1) == ["from outside"]
    eve.gets_nothing()


def test_members_of_several_rooms_get_it_once(people: list[Person]) -> None:
    ada, bob, eve = people
    ada.joins("a", "b")
    bob.joins("b")
    eve.does(["to", ["a", "b", "c"], 1], ["to", ["a"], 2]).done()
    assert ada.gets(2) == [1, 2]
    assert bob.gets(1) == [1]
    bob.gets_nothing()


def test_within_keeps_only_members_of_that_room_as_well(people: list[Person]) -> None:
    ada, bob, eve = people
    ada.joins("a", "staff")
    bob.joins("a")
    eve.joins("staff")
    eve.does(["to", ["a"], 1, ["within", "staff"]], ["to", ["a", "staff"], 2, ["within", "staff", "a"]]).done()
    assert ada.gets(2) == [1, 2]
    bob.gets_nothing()
    eve.gets_nothing()


def test_excluding_leaves_out_connections_and_ids(people: list[Person]) -> None:
    ada, bob, eve = (each.joins("r") for each in people)
    ada.does(["to", ["r"], 1, ["excluding"]], ["to", ["r"], 2, ["excluding", bob.id]]).done()
    assert bob.gets(1) == [1]
    assert eve.gets(2) == [1, 2]
    ada.gets_nothing()
    bob.gets_nothing()


def test_broadcast_reaches_all_clients(people: list[Person]) -> None:
    ada, bob, eve = people
    ada.does(["broadcast", 1], ["send", "mine"])
    assert ada.done() == [1, "mine"]
    ada.does(["others", 2], ["send", "mine"])
    assert ada.done() == ["mine"]
    for each in (bob, eve):
        assert each.gets(2) == [1, 2]


def test_join_and_leave_take_effect_at_once(people: list[Person]) -> None:
    ada, bob, _ = people
    bob.joins("r")
    ada.does(
        ["to", ["r"], 1],
        ["join", "r"],
        ["to", ["r"], 2],
        ["leave", "r"],
        ["to", ["r"], 3],
        ["join", "r"],
        ["to", ["r"], 4],
        ["send", "end"],
    )
    assert ada.done() == [2, 4, "end"]
    assert bob.gets(4) == [1, 2, 3, 4]


def test_direct_and_room_messages_and_close_never_overtake_one_another(people: list[Person]) -> None:
    ada, bob, _ = people
    bob.joins("r")
    ada.does(
        ["send", 1],
        ["join", "r"],
        ["to", ["r"], 2],
        ["send", 3],
        ["broadcast", 4],
        ["binary", "r", "five"],
        ["leave", "r"],
        ["to", ["r"], "not for ada"],
        ["broadcast", 6],
        ["send", 7],
        ["join", "r"],
        ["to", ["r"], 8],
        ["close", 4242, "end"],
        ["to", ["r"], "too late"],
    )
    assert ada.gets(8) == [1, 2, 3, 4, b"five", 6, 7, 8]
    assert closing(ada.client) == (4242, "end")
    assert bob.gets(7) == [2, 4, b"five", "not for ada", 6, 8, "too late"]


def test_a_thousand_messages_of_all_kinds_within_one_tick_keep_their_order(people: list[Person]) -> None:
    ada, bob, eve = people
    ada.joins("r")
    bob.joins("r", "s")
    eve.joins("s")
    commands: list[list[Any]] = []
    expected: dict[str, list[int]] = {"ada": [], "bob": [], "eve": []}
    for number in range(2000):
        kind = number * 7 % 5
        if kind == 0:
            commands.append(["send", number])
            expected["ada"].append(number)
        elif kind == 1:
            commands.append(["to", ["s"], number])
            expected["bob"].append(number)
            expected["eve"].append(number)
        elif kind == 2:
            commands.append(["broadcast", number])
            for name in expected:
                expected[name].append(number)
        else:
            commands.append(["to", ["r"], number])
            expected["ada"].append(number)
            expected["bob"].append(number)
    ada.does(*commands)
    assert ada.done() == expected["ada"]
    assert bob.gets(len(expected["bob"])) == expected["bob"]
    assert eve.gets(len(expected["eve"])) == expected["eve"]


def test_a_client_that_left_gets_nothing_more(server: Server, people: list[Person]) -> None:
    ada, bob, _ = people
    ada.joins("r")
    bob.joins("r")
    bob.client.close()
    ada.does(["to", ["r"], 1], ["send", 2])
    assert ada.done() == [1, 2]


def test_rooms_is_a_list_in_the_order_of_joining(server: Server) -> None:
    with server.connect("/rooms") as client:
        assert receive_all(client, 2) == [["b", "a"], ["a"]]


@pytest.mark.parametrize("name", ["r", "a b", "ünïcödé", "🦉", "*", ">", "a.b", "r:1", "x" * 200, "__proto__"])
def test_a_room_may_have_any_name(server: Server, name: str) -> None:
    with server.connect("/names") as client:
        client.send(json.dumps(name))
        assert receive(client) == "joined"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", "ValueError"),
        ("a\nb", "ValueError"),
        ("a\x00b", "ValueError"),
        ("\x01user:7", "ValueError"),
        ("\x7f", "ValueError"),
        ("\x85", "ValueError"),
        ("x" * 201, "ValueError"),
        ("ü" * 101, "ValueError"),
        (7, "TypeError"),
        (None, "TypeError"),
        (["r"], "TypeError"),
    ],
    ids=repr,
)
def test_a_name_that_is_not_allowed_raises_and_the_connection_lives(server: Server, name: object, error: str) -> None:
    with server.connect("/names") as client:
        client.send(json.dumps(name))
        assert receive(client)[0] == error
        client.send('"fine"')
        assert receive(client) == "joined"


def test_the_number_of_rooms_is_bounded(server: Server) -> None:
    with server.connect("/names") as client:
        for number in range(128):
            client.send(json.dumps(f"room {number}"))
        assert receive_all(client, 128) == ["joined"] * 128
        client.send('"one more"')
        kind, sentence = receive(client)
        assert kind == "ValueError"
        assert "rooms_per_connection" in sentence


def test_ids_are_unguessable_and_unique(server: Server) -> None:
    ids = set()
    for _ in range(20):
        with server.connect("/command") as client:
            ids.add(receive(client))
    assert len(ids) == 20
    assert all(len(each) >= 22 for each in ids)


def test_a_close_listener_may_leave_and_send(server: Server, probe: Probe, people: list[Person]) -> None:
    ada = people[0].joins("room")
    with server.connect("/leaves-in-close") as client:
        assert receive(client) == "ready"
    assert probe.get("rooms at the end") == ["room"]
    assert probe.get("left") == []
    assert ada.gets(1) == ["gone"]


# ws_server


def test_ws_server_lists_the_clients(server: Server) -> None:
    hub = server.app.route.ws_server
    with server.connect("/count") as one:
        count, known = receive(one)
        assert known
        with server.connect("/count") as two:
            assert receive(two) == [count + 1, True]
            assert hub.client_count >= 2
            assert set(hub.clients) == set(hub.clients.keys())
            with pytest.raises(TypeError):
                hub.clients["x"] = None


def test_ws_server_sends_from_any_thread_in_order(server: Server, people: list[Person]) -> None:
    ada, bob, eve = people
    ada.joins("r")
    bob.joins("r", "s")
    hub = server.app.route.ws_server
    hub.to_room("r", 1)
    hub.broadcast(2)
    hub.to("r", "s").send(3)
    hub.to("r").within("s").send(4)
    hub.to("r").excluding(ada.id).send_binary(b"five")
    hub.to_room("nobody is here", 6)
    assert ada.gets(3) == [1, 2, 3]
    assert bob.gets(5) == [1, 2, 3, 4, b"five"]
    assert eve.gets(1) == [2]
    for each in people:
        each.gets_nothing()


def test_many_threads_at_once(server: Server, people: list[Person]) -> None:
    ada = people[0].joins("r")
    hub = server.app.route.ws_server

    def send(sender: int) -> None:
        for number in range(100):
            hub.to_room("r", [sender, number])

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
    for thread in threads:
        thread.start()
    got = ada.gets(400)
    for thread in threads:
        thread.join()
    for sender in range(4):
        assert [number for who, number in got if who == sender] == list(range(100))


def test_what_cannot_be_encoded_raises_in_the_calling_thread(server: Server, people: list[Person]) -> None:
    ada = people[0].joins("r")
    hub = server.app.route.ws_server
    sends: list[Callable[[object], None]] = [partial(hub.to_room, "r"), hub.broadcast, hub.to("r").send]
    for send in sends:
        with pytest.raises(TypeError, match="object"):
            send(object())
    with pytest.raises(ValueError, match="empty"):
        hub.to_room("", 1)
    with pytest.raises(ValueError, match="broadcast"):
        hub.to()
    ada.gets_nothing()


def test_count_over_all_processes(server: Server, people: list[Person]) -> None:
    hub = server.app.route.ws_server
    people[0].joins("r")
    count = asyncio.run_coroutine_threadsafe(hub.count("r"), server.loop).result(5)
    assert (count.total, count.answered, count.expected) == (1, 1, 1)


def test_two_apps_in_one_process_do_not_see_each_others_rooms(server: Server) -> None:
    with (
        Server(build(Probe())) as second,
        everybody(server.connect("/command"), second.connect("/command")) as clients,
    ):
        ours, theirs = (Person(each).joins("r") for each in clients)
        server.app.route.ws_server.to_room("r", "ours")
        second.app.route.ws_server.broadcast("theirs")
        assert ours.gets(1) == ["ours"]
        assert theirs.gets(1) == ["theirs"]
        ours.gets_nothing()
        theirs.gets_nothing()
