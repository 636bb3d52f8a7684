"""Who is in a room, as pages see it."""

from __future__ import annotations

import re

import pytest

from tests.browser.client.conftest import Site
from tests.browser.client.engines import Engine, Profile, Tab
from tests.browser.client.test_shared import RETRY, open_tabs, wait_until_taken_over


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Of a room that no other test uses."""
    return re.sub(r"\W+", "-", request.node.name)


def enter(path: str, shared: bool = False) -> str:
    """Join a room, and wait until it is known who is there."""
    options = f"{{ {'shared: true, ' if shared else ''}{RETRY} }}"
    return f"""async () => {{
        join('{path}', {options})
        window.says = () => seen.at(-1)?.users.map(({{ data }}) => data.says).sort()
        await until(() => seen.length)
    }}"""


def until_all_say(page: Tab, *wanted: str) -> None:
    """Wait until the people in the page's room say this."""
    page.run(f"async () => {{ await until(() => says().join() === '{','.join(sorted(wanted))}', 30000) }}")


def visit(profile: Profile, site: Site, script: str) -> Tab:
    (page,) = open_tabs(profile, site, 1, script)
    return page


def test_pages_get_who_joins_changes_and_leaves(site: Site, name: str, engine: Engine) -> None:
    one, other = engine.profile(), engine.profile()
    try:
        ada = visit(one, site, enter(f"/tea/{name}"))
        assert (
            ada.run(
                "seen.map(({ room, users, joined, changed, left, total }) => [room, users, joined, changed, left, total])[0][5]"
            )
            == 1
        )
        bob = visit(other, site, enter(f"/tea/{name}"))
        until_all_say(bob, "hello", "hello")
        until_all_say(ada, "hello", "hello")
        bob.run("ws.send('milk')")
        until_all_say(ada, "hello", "milk")
        (key,) = ada.run("seen.at(-1).changed.map(({ key }) => key)")
        # Closed for good: there is no grace for that.
        bob.run("ws.close()")
        until_all_say(ada, "hello")
        last = ada.run("seen.at(-1)")
        assert (last["room"], last["left"], last["total"]) == (
            f"tea-{name}",
            [{"key": key, "data": {"says": "milk"}}],
            1,
        )
        assert last["joined"] == []
    finally:
        one.close()
        other.close()


def test_a_reload_and_an_outage_are_no_leaving(site: Site, name: str, engine: Engine) -> None:
    one, other, third = engine.profile(), engine.profile(), engine.profile()
    try:
        ada = visit(one, site, enter(f"/tea/{name}"))
        bob = visit(other, site, enter(f"/tea/{name}"))
        bob.run("ws.send('milk')")
        until_all_say(ada, "hello", "milk")
        bob.goto(site.url + "/")
        bob.run(enter(f"/tea/{name}"))
        # The newest connection's data are the person's: that is a change, and nobody came or went.
        until_all_say(ada, "hello", "hello")
        visit(third, site, enter(f"/tea/{name}"))
        until_all_say(ada, "hello", "hello", "hello")
        assert ada.run("seen.flatMap(({ left }) => left)") == []
        assert ada.run("seen.at(-1).joined.length") == 1
    finally:
        for profile in (one, other, third):
            profile.close()


def test_a_reconnect_emits_only_what_changed(site: Site, name: str, engine: Engine) -> None:
    one, other = engine.profile(), engine.profile()
    try:
        ada = visit(one, site, enter(f"/club/{name}"))
        visit(other, site, enter(f"/club/{name}"))
        until_all_say(ada, "hello", "hello")
        site.process.kill()
        ada.run("async () => { await until(() => names().includes('reconnecting')); window.before = seen.length }")
        site.process.start()
        # The room has a history, too, whose log has begun anew; a room that was empty has nothing to lose.
        ada.run("async () => { await until(() => ws.connected && seen.length > before) }")
        until_all_say(ada, "hello", "hello")
        later = ada.run("seen.slice(before)")
        # The keys are the same, made of the secret, so that who comes back is who was there.
        keys = {person["key"] for person in ada.run("seen[before - 1].users")}
        assert {person["key"] for change in later for person in change["joined"]} <= keys
        assert {person["key"] for person in later[-1]["users"]} == keys
    finally:
        one.close()
        other.close()


def test_a_later_tab_gets_presence_at_once(
    site: Site, name: str, shared_profile: Profile, engine: Engine, way: str
) -> None:
    guest = engine.profile()
    try:
        first = visit(shared_profile, site, enter(f"/tea/{name}", shared=True))
        visit(guest, site, enter(f"/tea/{name}"))
        until_all_say(first, "hello", "hello")
        second = visit(shared_profile, site, enter(f"/tea/{name}", shared=True))
        # It knows when it is open, and not by a change.
        assert second.run("[seen.length, says()]") == [1, ["hello", "hello"]]
        assert second.run("seen[0].joined.length") == 2
        assert {person["key"] for person in second.run("seen[0].users")} == {
            person["key"] for person in first.run("seen.at(-1).users")
        }
        assert site.clients == 2
        second.run("ws.send('milk')")
        for page in (first, second):
            until_all_say(page, "hello", "milk")
        # The first tab goes; the person stays, and the second hears of no change.
        count = second.run("seen.length")
        first.close()
        wait_until_taken_over([second], way)
        second.run("ws.send('sugar')")
        until_all_say(second, "hello", "sugar")
        assert second.run(f"seen.slice({count}).flatMap(({{ left }}) => left)") == []
    finally:
        guest.close()
