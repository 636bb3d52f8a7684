"""Rooms with history: a page gets what it missed, once and in order, or is told that some may be missing."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest

from tests.browser.client.conftest import Site
from tests.browser.client.engines import Profile, Tab
from tests.browser.client.relay import Relay
from tests.browser.client.test_shared import RETRY, open_tabs, wait_until_connected


def enter(path: str, shared: bool = False) -> str:
    """Join a room, and wait until what there is has come."""
    options = f"{{ {'shared: true, ' if shared else ''}{RETRY} }}"
    return f"async () => {{ join('{path}', {options}); await until(() => ws.connected) }}"


def until_messages(page: Tab, wanted: list[object]) -> None:
    """Wait for the last of these messages; and all that have come are these."""
    found = page.run(f"async () => {{ await until(() => messages.at(-1) === {wanted[-1]!r}, 60000); return messages }}")
    assert found == wanted


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Of a room that no other test uses: the server keeps what was said in it."""
    return re.sub(r"\W+", "-", request.node.name)


@pytest.fixture
def relay(site: Site) -> Iterator[Relay]:
    """A network that a test can cut, in front of the site."""
    with Relay(site.process.port) as made:
        yield made


def test_a_reload_is_a_new_client_and_a_reconnect_is_the_same(
    site: Site, name: str, profile: Profile, relay: Relay
) -> None:
    page = profile.tab()
    page.goto(relay.url + "/")
    page.run(enter(f"/log/{name}"))
    for number in range(5):
        site.say(f"log-{name}", number)
    until_messages(page, [0, 1, 2, 3, 4])
    # While it is away it misses some, and gets these and nothing else.
    relay.cut()
    page.run("async () => { await until(() => names().includes('reconnecting')) }")
    for number in range(5, 8):
        site.say(f"log-{name}", number)
    page.run("async () => { await until(() => recovered.length) }")
    site.say(f"log-{name}", 8)
    until_messages(page, [0, 1, 2, 3, 4, 5, 6, 7, 8])
    (told,) = page.run("recovered")
    assert told[:2] == [f"log-{name}", True]
    # How many of them came before it was back is a matter of moments.
    assert 0 <= told[2] <= 3
    # The page that was just loaded gets the last two, and is told nothing.
    page.goto(relay.url + "/")
    page.run(enter(f"/log/{name}"))
    site.say(f"log-{name}", 9)
    until_messages(page, [7, 8, 9])
    assert page.run("recovered") == []


def test_a_network_that_is_cut_again_and_again_costs_no_message_and_gives_none_twice(
    site: Site, name: str, profile: Profile, relay: Relay
) -> None:
    page = profile.tab()
    page.goto(relay.url + "/")
    page.run(enter(f"/log/{name}"))
    page.run("ws.send('first')")
    page.run("async () => { await until(() => messages.length) }")
    over = threading.Event()

    def cut() -> None:
        # Each time it is back: at a moment in the stream of messages that nobody chooses.
        for _ in range(8):
            page.run("async () => { await until(() => ws.connected, 60000) }")
            relay.cut()
            page.run("async () => { await until(() => !ws.connected || recovered.length, 60000) }")

    def say() -> None:
        number = 0
        while not over.is_set():
            site.say(f"log-{name}", number)
            number += 1
        site.say(f"log-{name}", "last")
        said.append(number)

    said: list[int] = []
    speaker = threading.Thread(target=say)
    speaker.start()
    try:
        cut()
    finally:
        over.set()
        speaker.join()
    until_messages(page, ["first", *range(said[0]), "last"])
    recovered = page.run("recovered")
    assert len(recovered) >= 4
    assert all(room == f"log-{name}" and complete for room, complete, _ in recovered)


def test_a_server_that_lost_the_log_is_reported(site: Site, name: str, tab: Tab) -> None:
    tab.run(enter(f"/log/{name}"))
    site.say(f"log-{name}", "before")
    until_messages(tab, ["before"])
    site.process.kill()
    site.process.start()
    tab.run("async () => { await until(() => recovered.length) }")
    site.say(f"log-{name}", "after")
    until_messages(tab, ["before", "after"])
    assert tab.run("recovered") == [[f"log-{name}", False, 0]]


def test_a_room_that_is_not_joined_again_is_reported_after_ten_seconds(
    site: Site, name: str, profile: Profile, relay: Relay
) -> None:
    page = profile.tab()
    page.goto(relay.url + "/")
    page.run("void (window.hurry = true)")
    page.run(enter(f"/once/{name}"))
    site.say(f"log-{name}", "once")
    until_messages(page, ["once"])
    relay.cut()
    page.run("async () => { await until(() => recovered.length) }")
    assert page.run("recovered") == [[f"log-{name}", False, 0]]


def test_a_cloned_tab_is_a_client_of_its_own(site: Site, name: str, profile: Profile) -> None:
    """A page that is opened by another gets a copy of its session storage, and nothing of a client's name."""
    page = profile.tab()
    page.goto(site.url + "/")
    page.run(enter(f"/log/{name}"))
    assert page.run(f"""async () => {{
        const clone = open(location.href)
        await until(() => clone.document.readyState === 'complete' && clone.join)
        window.cloned = clone.join('/log/{name}', {{ {RETRY} }})
        await until(() => cloned.ws.connected)
        ws.send('both')
        await until(() => messages.length && cloned.messages.length)
        const heard = [messages, cloned.messages, names(), cloned.log.map(([name]) => name), recovered, cloned.recovered]
        clone.close()
        return heard
    }}""") == [["both"], ["both"], ["open"], ["open"], [], []]


def test_after_a_change_of_user_nothing_is_recovered(site: Site, name: str, profile: Profile, relay: Relay) -> None:
    page = profile.tab()
    page.goto(relay.url + "/foreign-login?user=ann")
    page.goto(relay.url + "/")
    page.run(enter(f"/own-log/{name}"))
    site.say(f"log-{name}", "for ann")
    until_messages(page, ["for ann"])
    page.run("async () => { await fetch('/foreign-login?user=bob') }")
    relay.cut()
    page.run("async () => { await until(() => recovered.length) }")
    assert page.run("recovered") == [[f"log-{name}", False, 0]]


def test_after_a_logout_it_is_over(site: Site, name: str, profile: Profile) -> None:
    page = profile.tab()
    page.goto(site.url + "/login?user=ann")
    page.goto(site.url + "/")
    page.run(enter(f"/own-log/{name}"))
    site.say(f"log-{name}", "for ann")
    until_messages(page, ["for ann"])
    page.run("async () => { await fetch('/logout'); await until(() => ws.state === 3) }")
    assert page.run("[log.at(-1)[1], recovered]") == [4001, []]


# Shared connections


def test_the_first_tab_goes_and_the_others_lose_nothing(site: Site, name: str, shared_profile: Profile) -> None:
    """Where a tab leads, the next one takes over with what it knows itself."""
    first, *others = open_tabs(shared_profile, site, 3, enter(f"/log/{name}", shared=True))
    site.say(f"log-{name}", 0)
    for page in (first, *others):
        page.run("async () => { await until(() => messages.length) }")
    over = threading.Event()
    said = []

    def say() -> None:
        number = 1
        while not over.is_set():
            site.say(f"log-{name}", number)
            number += 1
        site.say(f"log-{name}", "last")
        said.append(number)

    speaker = threading.Thread(target=say)
    speaker.start()
    try:
        first.close()
        wait_until_connected(others)
        others[0].run("async () => { await until(() => messages.length > 20) }")
    finally:
        over.set()
        speaker.join()
    for page in others:
        until_messages(page, [*range(said[0]), "last"])
        # The tabs that came to an open connection were told so, as a page that was just loaded is not told the past.
        assert page.run("recovered[0]") == [f"log-{name}", False, 0]
        assert all(complete for _, complete, _ in page.run("recovered.slice(1)"))


def test_an_outage_is_recovered_from_in_every_tab(site: Site, name: str, shared_profile: Profile, relay: Relay) -> None:
    tabs = []
    for _ in range(2):
        page = shared_profile.tab()
        page.goto(relay.url + "/")
        page.run(enter(f"/log/{name}", shared=True))
        tabs.append(page)
    site.say(f"log-{name}", 0)
    for page in tabs:
        until_messages(page, [0])
    relay.cut()
    for number in range(1, 4):
        site.say(f"log-{name}", number)
    for page in tabs:
        page.run("async () => { await until(() => recovered.at(-1)?.[1]) }")
        until_messages(page, [0, 1, 2, 3])
    assert [page.run("recovered.map(([, complete]) => complete)") for page in tabs] == [[True], [False, True]]


def test_tabs_of_another_user_do_not_recover(site: Site, name: str, shared_profile: Profile) -> None:
    first = shared_profile.tab()
    first.goto(site.url + "/foreign-login?user=ann")
    first.goto(site.url + "/")
    first.run(enter(f"/own-log/{name}", shared=True))
    site.say(f"log-{name}", "for ann")
    until_messages(first, ["for ann"])
    second = shared_profile.tab()
    second.goto(site.url + "/foreign-login?user=bob")
    second.goto(site.url + "/")
    second.run(enter(f"/own-log/{name}", shared=True))
    first.run("async () => { await until(() => recovered.length) }")
    assert first.run("recovered") == [[f"log-{name}", False, 0]]
    site.say(f"log-{name}", "for bob")
    for page in (first, second):
        page.run("async () => { await until(() => messages.includes('for bob')) }")
