"""What the members of a room are told about each other, over every kind of fault between processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from odac.presence import absences, messages
from odac.presence.messages import Delta, Versions, encode
from odac.presence.rules import Presence
from tests.unit.presence.network import Network, Page, Process

GRACE = 10.0
SETTLED = 35.0 + GRACE


def people(page: Page) -> set[str]:
    return set(page.people)


@pytest.fixture
def two() -> Network:
    return Network(2)


def test_every_process_lists_every_member(two: Network) -> None:
    first, second = two.processes
    ada = two.open(first, "u:ada", b'"A"')
    two.loop.run(1)
    bob = two.open(second, "u:bob", b'"B"')
    two.loop.run(1)
    assert ada.people == bob.people == {"u:ada": b'"A"', "u:bob": b'"B"'}
    assert ada.events == [("joined", "u:bob")]
    assert ada.total == bob.total == 2


def test_a_person_is_there_once_however_many_connections_there_are(two: Network) -> None:
    first, second = two.processes
    watcher = two.open(first, "u:watcher")
    two.loop.run(1)
    pages = [two.open(process, "u:ada") for process in (first, second, second)]
    two.loop.run(1)
    assert watcher.events == [("joined", "u:ada")]
    for page in pages[:-1]:
        two.end(page, 1000)
    two.loop.run(SETTLED)
    assert "u:ada" in people(watcher)
    two.end(pages[-1], 1000)
    two.loop.run(1)
    assert watcher.events == [("joined", "u:ada"), ("left", "u:ada")]


@pytest.mark.parametrize("code", [1001, 1006, 1011, 1012, 1013])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["same process", "another process"])
def test_a_reload_is_no_leaving(two: Network, code: int, elsewhere: bool) -> None:
    first, second = two.processes
    watcher = two.open(second, "u:watcher")
    two.loop.run(1)
    page = two.open(first, "u:ada")
    two.loop.run(1)
    two.end(page, code)
    two.loop.run(GRACE - 2)
    two.open(second if elsewhere else first, "u:ada")
    two.loop.run(SETTLED)
    assert watcher.events == [("joined", "u:ada")]


@pytest.mark.parametrize("code", [1000, 4001, 4003])
def test_some_ends_are_final(two: Network, code: int) -> None:
    first, second = two.processes
    watcher = two.open(second, "u:watcher")
    two.loop.run(1)
    page = two.open(first, "u:ada")
    two.loop.run(1)
    two.end(page, code)
    two.loop.run(0.5)
    assert watcher.events[-1] == ("left", "u:ada")


def test_a_lost_connection_has_left_when_the_grace_is_over(two: Network) -> None:
    first, second = two.processes
    watcher = two.open(second, "u:watcher")
    two.loop.run(1)
    page = two.open(first, "u:ada")
    two.loop.run(1)
    two.end(page, 1006)
    two.loop.run(GRACE - 0.5)
    assert watcher.events == [("joined", "u:ada")]
    two.loop.run(1)
    assert watcher.events == [("joined", "u:ada"), ("left", "u:ada")]


def test_leaving_the_room_is_final_and_leaves_the_other_rooms_alone(two: Network) -> None:
    first, second = two.processes
    watcher = two.open(second, "u:watcher")
    two.loop.run(1)
    page = two.open(first, "u:ada")
    two.loop.run(1)
    first.service.leave(page.id, "room")
    first.service.leave(page.id, "room")
    two.loop.run(0.5)
    assert watcher.events[-1] == ("left", "u:ada")


def test_changes_are_gathered(two: Network) -> None:
    first, second = two.processes
    watcher = two.open(second, "u:watcher")
    two.loop.run(1)
    page = two.open(first, "u:ada")
    two.loop.run(1)
    before = two.sent
    for step in range(100):
        two.say(page, b"%d" % step)
        two.loop.run(0.01)
    two.loop.run(1)
    assert two.sent - before <= 12
    assert watcher.people["u:ada"] == b"99"
    changes = [event for event in watcher.events if event == ("changed", "u:ada")]
    assert 8 <= len(changes) <= 12


def test_the_newest_data_of_several_connections_counts_everywhere(two: Network) -> None:
    first, second = two.processes
    pages = [two.open(first, "u:ada", b'"old"')]
    two.loop.run(1)
    pages.append(two.open(second, "u:ada", b'"new"'))
    two.loop.run(1)
    assert [page.people["u:ada"] for page in pages] == [b'"new"'] * 2
    two.say(pages[0], b'"newest"')
    two.loop.run(1)
    assert [page.people["u:ada"] for page in pages] == [b'"newest"'] * 2
    two.end(pages[0], 1000)
    two.loop.run(1)
    assert pages[1].people["u:ada"] == b'"new"'


def test_a_killed_process_is_silent_and_then_gone_with_one_event_a_person(two: Network) -> None:
    first, second = two.processes
    watcher = two.open(second, "u:watcher")
    two.loop.run(1)
    for number in range(50):
        two.open(first, f"u:{number}")
    two.loop.run(1)
    two.kill(first)
    two.loop.run(29)
    assert len(people(watcher)) == 51
    two.loop.run(5)
    assert people(watcher) == {"u:watcher"}
    assert sum(event == "left" for event, _ in watcher.events) == 50


def test_a_deployment_of_all_processes_one_after_the_other_is_no_leaving() -> None:
    network = Network(3)
    watcher_events: list[tuple[str, str]] = []
    pages = [network.open(network.processes[number % 3], f"u:{number}") for number in range(30)]
    network.loop.run(2)
    for process in list(network.processes):
        fresh = network.start()
        network.loop.run(3.1)
        moved = [page for page in pages if page.process is process]
        network.drain(process)
        network.loop.run(2)
        for page in moved:
            pages.remove(page)
            watcher_events += page.events
            pages.append(network.open(fresh, page.person))
        network.loop.run(20)
    network.loop.run(SETTLED)
    events = watcher_events + [event for page in pages for event in page.events]
    assert [event for event in events if event[0] == "left"] == []
    assert all(len(page.people) == 30 for page in pages)


def test_a_lost_last_delta_heals_by_the_repeated_version(two: Network) -> None:
    first, second = two.processes
    watcher = two.open(second, "u:watcher")
    two.loop.run(1)
    page = two.open(first, "u:ada")
    two.loop.run(6)
    two.lose = 1
    two.end(page, 1000)
    two.loop.run(2)
    assert "u:ada" in people(watcher)
    two.loop.run(5)
    assert people(watcher) == {"u:watcher"}


@pytest.mark.parametrize("losses", [2, 3, 5])
@pytest.mark.parametrize("code", [None, 1000], ids=["joins", "leaves"])
def test_a_delta_that_is_lost_with_its_repeat_heals_by_the_next_heartbeats(
    two: Network, losses: int, code: int | None
) -> None:
    first, second = two.processes
    watcher = two.open(second, "u:watcher")
    page = two.open(first, "u:ada")
    two.loop.run(20)
    two.lose = losses
    if code is None:
        two.open(first, "u:eve")
    else:
        two.end(page, code)
    two.loop.run(35 + 15 * (losses - 2))
    assert two.lose == 0
    assert people(watcher) == ({"u:watcher"} if code else {"u:watcher", "u:ada", "u:eve"})


def lose_each(network: Network, monkeypatch: pytest.MonkeyPatch, which: Callable[[messages.Told], bool]) -> None:
    """Lose the messages that ``which`` is true for."""
    send = network.send

    def send_others(sender: Process, receivers: list[Process], body: bytes) -> None:
        if not which(messages.decode(body)):
            send(sender, receivers, body)

    monkeypatch.setattr(network, "send", send_others)


def lose_first(network: Network, monkeypatch: pytest.MonkeyPatch, which: Callable[[messages.Told], bool]) -> list[Any]:
    """Lose the first message that ``which`` is true for; return the list that it is entered in then."""
    lost: list[messages.Told] = []

    def first(told: messages.Told) -> bool:
        if lost or not which(told):
            return False
        lost.append(told)
        return True

    lose_each(network, monkeypatch, first)
    return lost


@pytest.mark.parametrize("kind", [messages.Ask, messages.Page], ids=["question", "answer"])
def test_the_question_that_opens_a_room_is_asked_again_when_it_or_its_answer_is_lost(
    two: Network, monkeypatch: pytest.MonkeyPatch, kind: type[messages.Told]
) -> None:
    first, second = two.processes
    two.open(first, "u:ada")
    two.loop.run(7)
    lost = lose_first(two, monkeypatch, lambda told: isinstance(told, kind))
    bob = two.open(second, "u:bob")
    two.loop.run(1.5)
    assert (len(lost), people(bob)) == (1, {"u:bob"})
    two.loop.run(35)
    assert people(bob) == {"u:ada", "u:bob"}
    assert bob.total == 2


@pytest.mark.parametrize("between", [None, 0.0, 0.2, 6.0])
def test_an_end_and_a_join_of_the_same_person_heal_when_one_message_is_lost(between: float | None) -> None:
    """The process has nobody in the room in between, so that it must ask the others again."""
    network = Network(3)
    first, second, _ = network.processes
    watcher = network.open(second, "u:watcher")
    page = network.open(first, "u:ada")
    network.loop.run(7)
    network.lose = 1
    network.end(page, 1000)
    if between is not None:
        network.loop.run(between)
    again = network.open(first, "u:ada")
    network.loop.run(35)
    assert network.lose == 0
    assert people(watcher) == people(again) == {"u:watcher", "u:ada"}
    assert watcher.total == again.total == 2


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_whole_share_is_asked_for_again_when_a_page_of_it_is_lost(
    two: Network, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    first, second = two.processes
    watcher = two.open(second, "u:watcher")
    two.loop.run(1)
    two.cut(second)
    for number in range(99):
        two.open(first, f"u:{number}", b'"%s"' % (b"x" * 1000))
    two.loop.run(8)
    lost = lose_first(
        two, monkeypatch, lambda told: isinstance(told, messages.Page) and told.index == index < told.pages - 1
    )
    two.heal(second)
    two.loop.run(2)
    assert (len(lost), people(watcher)) == (1, {"u:watcher"})
    two.loop.run(33)
    assert len(people(watcher)) == 100


@pytest.mark.parametrize("kind", [messages.Compare, messages.Versions], ids=["question", "answer"])
def test_a_comparison_that_is_lost_is_made_again(
    two: Network, monkeypatch: pytest.MonkeyPatch, kind: type[messages.Told]
) -> None:
    first, second = two.processes
    watcher = two.open(second, "u:watcher")
    two.loop.run(8)
    lose_each(two, monkeypatch, lambda told: isinstance(told, messages.Delta))
    lost = lose_first(two, monkeypatch, lambda told: isinstance(told, kind))
    two.open(first, "u:ada")
    two.loop.run(8)
    assert (len(lost), people(watcher)) == (1, {"u:watcher"})
    two.loop.run(27)
    assert people(watcher) == {"u:watcher", "u:ada"}


def test_a_room_that_was_opened_while_a_process_was_silent_is_compared_though_the_first_question_is_lost(
    two: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two.processes
    two.open(first, "u:ada")
    two.open(second, "u:bob", room="elsewhere")
    two.loop.run(20)
    second.connected = False
    two.loop.run(15)
    eve = two.open(first, "u:eve", room="elsewhere")
    two.loop.run(2)
    lost = lose_first(two, monkeypatch, lambda told: isinstance(told, messages.Compare))
    second.connected = True  # without a word from its broker
    two.loop.run(3)
    assert (len(lost), people(eve)) == (1, {"u:eve"})
    two.loop.run(32)
    assert people(eve) == {"u:bob", "u:eve"}


def test_a_share_that_has_ended_unheard_is_found(two: Network) -> None:
    """Its process has forgotten the room: what it tells of its versions must name it all the same."""
    first, second = two.processes
    watcher = two.open(second, "u:watcher")
    page = two.open(first, "u:ada")
    two.loop.run(21.1)  # a little after a heartbeat, so that the room is forgotten before the second one from now
    two.lose = 2
    two.end(page, 1000)
    two.loop.run(5.5)
    assert not first.service.figures()["presence_rooms"]
    assert "u:ada" in people(watcher)
    two.loop.run(35)
    assert people(watcher) == {"u:watcher"}


def test_comparisons_end_when_nothing_changes_and_are_few_while_rooms_differ(two: Network) -> None:
    first, second = two.processes
    two.open(second, "u:watcher")
    other = Page("other", "u:ada", first)
    first.pages[other.id] = other
    two.loop.run(20)
    before = two.sent
    for step in range(100):  # in a room that is not watched in the other process
        first.service.join(other, "elsewhere", two.rule, "u:ada", b"%d" % step)
        two.loop.run(6)
    told = 2 * 100  # each change, and its version once more
    assert two.sent - before <= told + 2 * 600 // 11 + 10
    two.loop.run(40)
    before = two.sent
    two.loop.run(3600)
    assert two.sent == before


def test_a_partition_heals(two: Network) -> None:
    first, second = two.processes
    ada, bob = two.open(first, "u:ada"), two.open(second, "u:bob")
    two.loop.run(1)
    two.cut(first)
    eve = two.open(first, "u:eve")
    two.end(bob, 1000)
    dan = two.open(second, "u:dan")
    two.loop.run(60)
    assert people(ada) == {"u:ada", "u:eve"}
    assert people(dan) == {"u:dan"}
    two.heal(first)
    two.loop.run(5)
    assert people(ada) == people(eve) == people(dan) == {"u:ada", "u:eve", "u:dan"}


def test_a_short_partition_is_no_leaving(two: Network) -> None:
    first, second = two.processes
    ada = two.open(first, "u:ada")
    two.loop.run(1)
    two.open(second, "u:bob")
    two.loop.run(1)
    two.cut(first)
    two.loop.run(20)
    two.heal(first)
    two.loop.run(SETTLED)
    assert ada.events == [("joined", "u:bob")]


def test_above_the_limit_only_the_total_is_sent_until_it_is_well_below() -> None:
    network = Network(2, Presence(limit=10))
    first, second = network.processes
    watcher = network.open(second, "u:watcher")
    pages = [network.open(first, f"u:{number}") for number in range(10)]
    network.loop.run(3)
    assert (watcher.total, watcher.people) == (11, {})
    network.end(pages.pop(), 1000)
    network.end(pages.pop(), 1000)
    network.loop.run(3)
    assert (watcher.total, watcher.people) == (9, {})
    network.end(pages.pop(), 1000)
    network.loop.run(3)
    assert watcher.total == len(watcher.people) == 8


def test_a_client_that_comes_back_to_a_process_without_the_room_sees_nobody_leave() -> None:
    network = Network(3)
    first, second, third = network.processes
    network.open(second, "u:bob")
    gone = network.open(second, "u:eve")
    ada = network.open(first, "u:ada")
    network.loop.run(8)
    network.end(ada, 1006)
    network.end(gone, 1006)
    network.loop.run(1)
    again = network.open(third, "u:ada")
    network.loop.run(1)
    assert again.first is not None
    assert again.first.people is not None
    assert {person for person, _ in again.first.people} == {"u:ada", "u:bob", "u:eve"}


def test_people_of_a_process_without_connections_are_known_to_one_that_opens_the_room(two: Network) -> None:
    """Such a process listens to the room no more, and keeps its people for the grace."""
    first, second = two.processes
    ada = two.open(first, "u:ada")
    two.loop.run(7)
    two.end(ada, 1006)
    two.loop.run(1)
    bob = two.open(second, "u:bob")
    two.loop.run(0.5)
    assert people(bob) == {"u:ada", "u:bob"}
    two.loop.run(GRACE)
    assert people(bob) == {"u:bob"}


def test_a_process_that_does_not_answer_delays_no_other(two: Network) -> None:
    first, second = two.processes
    two.open(first, "u:ada")
    two.loop.run(1)
    two.kill(first)
    bob = two.open(second, "u:bob")
    two.loop.run(1.2)
    assert people(bob) == {"u:bob"}


def test_a_person_keeps_since_over_a_reload_and_one_connection_stays_for_each(two: Network) -> None:
    first, second = two.processes
    two.open(second, "u:watcher")
    page = two.open(first, "u:ada")
    since = first.service._rooms["room"].share.entries[page.id].since
    for _ in range(20):
        two.loop.run(0.5)
        two.end(page, 1001)
        two.loop.run(0.5)
        page = two.open(first, "u:ada")
    pages = [two.open(first, "u:ada") for _ in range(5)]
    two.loop.run(1)
    for each in [page, *pages]:
        two.end(each, 1001)
    two.loop.run(1)
    (entry,) = first.service._rooms["room"].share.entries.values()
    assert (entry.since, entry.away) == (since, True)
    two.loop.run(GRACE + 6)
    assert first.service.figures() == {
        "presence_rooms": 0,
        "presence_connections": 0,
        "presence_away": 0,
        "presence_garbage": 0,
    }


def test_the_people_who_may_come_back_are_bounded(two: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(absences, "MOST_ABSENT", 5)
    first, second = two.processes
    watcher = two.open(second, "u:watcher")
    two.loop.run(1)
    for number in range(20):
        two.end(two.open(first, f"u:{number}"), 1006)
    two.loop.run(1)
    assert people(watcher) == {"u:watcher"} | {f"u:{number}" for number in range(15, 20)}
    assert first.service.figures()["presence_away"] == 5


def test_a_change_that_follows_another_wins_though_the_clocks_are_apart() -> None:
    network = Network(2, skews=(600.0, 0.0))
    first, second = network.processes
    pages = [network.open(first, "u:ada", b'"ahead"')]
    network.loop.run(1)
    pages.append(network.open(second, "u:ada", b'"behind"'))
    network.loop.run(1)
    network.say(pages[1], b'"later"')
    network.loop.run(1)
    assert [page.people["u:ada"] for page in pages] == [b'"later"'] * 2


def test_a_connection_whose_client_has_connected_again_is_no_leaving(two: Network) -> None:
    first, second = two.processes
    watcher = two.open(second, "u:watcher")
    two.loop.run(1)
    page = two.open(first, "u:ada")
    two.loop.run(1)
    first.service.ended(page.id, 1000, replaced=True)
    two.loop.run(GRACE - 2)
    two.open(second, "u:ada")
    two.loop.run(SETTLED)
    assert watcher.events == [("joined", "u:ada")]


def test_people_stay_for_the_grace_of_their_own_room_when_a_process_stops(two: Network) -> None:
    first, second = two.processes
    watchers = {}
    for room, grace in {"short": 1.0, "long": 20.0}.items():
        watcher = watchers[room] = Page(f"w{room}", "u:watcher", second)
        second.pages[watcher.id] = watcher
        second.service.join(watcher, room, Presence(grace), "u:watcher", b"1")
        page = Page(f"p{room}", "u:ada", first)
        first.pages[page.id] = page
        first.service.join(page, room, Presence(grace), "u:ada", b"1")
    two.loop.run(2)
    second.heard.pop(first.origin)
    second.service.left(first.origin)
    two.kill(first)
    two.loop.run(2)
    assert (people(watchers["short"]), people(watchers["long"])) == ({"u:watcher"}, {"u:watcher", "u:ada"})
    two.loop.run(19)
    assert people(watchers["long"]) == {"u:watcher"}


def test_an_outage_costs_a_few_messages_however_many_rooms_there_are(two: Network) -> None:
    first, second = two.processes
    for number in range(600):
        for process in two.processes:
            page = Page(f"{process.origin!r}-{number}", "u:ada", process)
            process.pages[page.id] = page
            process.service.join(page, f"room-{number}", two.rule, "u:ada", b"1")
    two.loop.run(20)
    before = two.sent
    two.cut(second)
    two.loop.run(3)
    first.service.leave(f"{first.origin!r}-7", "room-7")
    two.heal(second)
    two.loop.run(10)
    assert two.sent - before < 20
    room = second.service._rooms["room-7"]
    assert [copy.entries for copy in room.copies.values()] == [{}]


def test_an_idle_room_costs_the_broker_nothing(two: Network) -> None:
    for process in two.processes:
        for number in range(20):
            two.open(process, f"u:{number}")
    two.loop.run(20)
    before = two.sent
    two.loop.run(3600)
    assert two.sent == before


def test_a_join_storm_costs_little_and_everybody_is_there() -> None:
    network = Network(2, Presence(limit=10_000))
    first, second = network.processes
    watcher = network.open(second, "u:watcher")
    network.loop.run(1)
    before = network.sent
    for number in range(2000):
        network.open(first, f"u:{number}", b'{"name":"somebody"}')
    network.loop.run(10)
    assert len(watcher.people) == 2001
    assert network.sent - before <= 30


def members(network: Network, index: int) -> Any:
    """What ``presence(room)`` answers, with the network's clock moved while it waits."""

    async def ask() -> Any:
        asked = asyncio.ensure_future(network.processes[index].service.members("room", network.rule, 5.0))
        for _ in range(20):
            await asyncio.sleep(0)
            network.loop.run(0.1)
        return await asked

    return asyncio.run(ask())


@pytest.mark.parametrize("watched", [True, False], ids=["watched", "not watched"])
def test_members_are_those_of_all_processes(two: Network, watched: bool) -> None:
    first, second = two.processes
    two.open(first, "u:ada", b'{"name":"Ada"}')
    two.open(first, "u:ada", b'{"name":"Ada"}')
    if watched:
        two.open(second, "u:bob")
    two.loop.run(1)
    found = members(two, 1)
    assert found.complete
    assert found.total == len(found.users) == (2 if watched else 1)
    assert found.users["u:ada"].data == {"name": "Ada"}
    assert found.users["u:ada"].connections == 2


def test_members_are_not_complete_while_a_process_is_silent(two: Network) -> None:
    first, second = two.processes
    two.open(first, "u:ada")
    two.open(second, "u:bob")
    two.loop.run(1)
    two.kill(first)
    two.loop.run(15)
    found = members(two, 0)
    assert not found.complete
    assert set(found.users) == {"u:ada", "u:bob"}
    two.loop.run(20)
    found = members(two, 0)
    assert found.complete
    assert set(found.users) == {"u:bob"}


def test_members_that_nobody_waits_for_any_more_leave_nothing_behind(two: Network) -> None:
    first, second = two.processes
    two.open(first, "u:ada")
    two.loop.run(1)

    async def ask() -> None:
        asked = asyncio.ensure_future(second.service.members("room", two.rule, 5.0))
        await asyncio.sleep(0)
        assert second.service.figures()["presence_rooms"] == 1
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    asyncio.run(ask())
    assert second.service.figures()["presence_rooms"] == 0


def test_of_processes_that_send_no_heartbeat_nothing_is_kept(two: Network) -> None:
    """What they say before their first heartbeat, or arrives behind their goodbye: nothing would tell of their end."""
    here = two.processes[0]
    for number in range(100):
        origin = b"short-lived %04d" % number
        here.service.received(origin, encode(Delta("room", 0, 5)))
        here.service.received(origin, encode(Versions(1, 0, 1, {"room": 5}, last=5)))
        here.service.received(origin, encode(Versions(2, 0, 2, {"room": 5}, last=5)))
    assert here.service._comparing._heard.keys() <= {two.processes[1].origin}
    assert not here.service._comparing._collections


def test_garbage_from_another_process_is_counted(two: Network) -> None:
    two.processes[0].service.received(b"x", b"\xc1 nothing")
    assert two.processes[0].service.garbage == 1


class Convergence(RuleBasedStateMachine):
    """Three processes, partitions, losses, kills, clocks apart: soon after the last fault, all see the same people."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Network(3, Presence(limit=6), (0.0, -300.0, 500.0))

    @rule(
        index=st.integers(0, 2),
        person=st.integers(0, 7),
        data=st.integers(0, 3),
        room=st.sampled_from(["room", "room", "elsewhere"]),
    )
    def opens(self, index: int, person: int, data: int, room: str) -> None:
        self.network.open(self.network.processes[index], f"u:{person}", b"%d" % data, room=room)

    @precondition(lambda self: self.network.pages)
    @rule(which=st.integers(0, 99), code=st.sampled_from([1000, 1001, 1006, 4001]))
    def ends(self, which: int, code: int) -> None:
        pages = self.network.pages
        self.network.end(pages[which % len(pages)], code)

    @precondition(lambda self: self.network.pages)
    @rule(which=st.integers(0, 99), data=st.integers(0, 3))
    def says(self, which: int, data: int) -> None:
        pages = self.network.pages
        self.network.say(pages[which % len(pages)], b"%d" % data)

    @rule(index=st.integers(0, 2))
    def cuts(self, index: int) -> None:
        self.network.cut(self.network.processes[index])

    @rule(index=st.integers(0, 2))
    def heals(self, index: int) -> None:
        self.network.heal(self.network.processes[index])

    @rule(count=st.integers(1, 3))
    def loses(self, count: int) -> None:
        """Lose the next messages, whenever they are sent; no process hears of it."""
        self.network.lose = count

    @rule(index=st.integers(0, 2))
    def kills(self, index: int) -> None:
        self.network.kill(self.network.processes[index])
        self.network.start()

    @rule(index=st.integers(0, 2))
    def drains(self, index: int) -> None:
        self.network.drain(self.network.processes[index])
        self.network.start()

    @rule(seconds=st.sampled_from([0.05, 0.2, 1.0, 6.0, 12.0, 33.0]))
    def waits(self, seconds: float) -> None:
        self.network.loop.run(seconds)

    def teardown(self) -> None:
        network = self.network
        network.lose = 0
        for process in network.processes:
            network.heal(process)
        network.loop.run(SETTLED)
        for room in ("room", "elsewhere"):
            self.check([page for page in network.pages if page.room == room])

    def check(self, pages: list[Page]) -> None:
        """Compare what the pages of one room show."""
        expected = {page.person for page in pages}
        for page in pages:
            assert page.total == len(expected)
        # Around the limit, which of the two ways a process tells depends on where it came from.
        listed = [page for page in pages if page.people]
        for page in listed:
            assert page.people == listed[0].people
            assert set(page.people) == expected
        if len(expected) < 5:
            assert len(listed) == len(pages)


Convergence.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestConvergence = Convergence.TestCase


class Reloads(RuleBasedStateMachine):
    """Pages reload, lose their network and are moved by deployments, and are back within the grace: nobody sees them leave."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Network(3)
        self.open = {
            person: self.network.open(self.network.processes[person % 3], f"u:{person}") for person in range(5)
        }
        self.network.loop.run(2)

    def _come_back(self, person: int, index: int) -> None:
        self.open[person] = self.network.open(
            self.network.processes[index], f"u:{person}", b"1", before=self.open[person]
        )

    @rule(
        person=st.integers(0, 4),
        index=st.integers(0, 2),
        code=st.sampled_from([1001, 1006, 1012, 4999]),
        away=st.sampled_from([0.0, 0.05, 1.0, 7.0]),
    )
    def reloads(self, person: int, index: int, code: int, away: float) -> None:
        self.network.end(self.open[person], code)
        self.network.loop.run(away)
        self._come_back(person, index)

    @rule(person=st.integers(0, 4), index=st.integers(0, 2), after=st.sampled_from([0.0, 0.05, 0.3, 3.0]))
    def comes_back_before_the_server_knows(self, person: int, index: int, after: float) -> None:
        older = self.open[person]
        self._come_back(person, index)
        self.network.loop.run(after)
        self.network.end(older, 1006)

    @rule(index=st.integers(0, 2), away=st.sampled_from([0.5, 2.0, 6.0]), to=st.integers(0, 2))
    def deploys(self, index: int, away: float, to: int) -> None:
        old = self.network.processes[index]
        self.network.start()
        self.network.loop.run(3.1)
        moved = [person for person, page in self.open.items() if page.process is old]
        self.network.drain(old)
        self.network.loop.run(away)
        for person in moved:
            self._come_back(person, to)

    @rule(seconds=st.sampled_from([0.05, 0.2, 4.0, 15.0]))
    def waits(self, seconds: float) -> None:
        self.network.loop.run(seconds)

    def teardown(self) -> None:
        self.network.loop.run(SETTLED)
        for page in self.open.values():
            assert [event for event in page.events if event[0] == "left"] == []
            assert people(page) == {f"u:{person}" for person in range(5)}


Reloads.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
TestReloads = Reloads.TestCase
