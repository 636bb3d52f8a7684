"""Rooms with history while tabs and workers crash, freeze and hang. In Chromium, whose DevTools can make them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser

from tests.browser.client.chromium import Chromium, ChromiumProfile
from tests.browser.client.conftest import WAYS, Site
from tests.browser.client.test_recovery import enter, until_messages
from tests.browser.client.test_shared import wait_until_connected, wait_until_taken_over
from tests.browser.client.test_tab_life import bring_back, chromium_tabs, crash, freeze, put_away, thaw


@pytest.fixture(scope="module")
def chromium(whole_chromium: Browser) -> Browser:
    return whole_chromium


@pytest.fixture
def engine(chromium: Browser) -> Chromium:
    return Chromium(chromium)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Of a room that no other test uses."""
    return re.sub(r"\W+", "-", request.node.name)


def test_a_crash_of_the_first_tab(site: Site, name: str, shared_profile: ChromiumProfile, way: str) -> None:
    first, *others = chromium_tabs(shared_profile, site, 3, enter(f"/log/{name}", shared=True))
    site.say(f"log-{name}", 0)
    for page in others:
        until_messages(page, [0])
        page.run("void (window.told = recovered.length)")
    crash(first)
    for number in range(1, 50):
        site.say(f"log-{name}", number)
    for page in others:
        until_messages(page, [*range(50)])
        assert page.run("recovered.slice(told).every(([, complete]) => complete)")


def test_a_worker_that_ends(site: Site, name: str, engine: Chromium, chromium: Browser) -> None:
    profile = engine.profile(WAYS["worker"])
    try:
        tabs = chromium_tabs(profile, site, 2, enter(f"/log/{name}", shared=True))
        site.say(f"log-{name}", 0)
        for page in tabs:
            until_messages(page, [0])
            page.run("void (window.told = recovered.length)")
        end_worker(chromium, site.url)
        for number in range(1, 50):
            site.say(f"log-{name}", number)
        for page in tabs:
            until_messages(page, [*range(50)])
            assert page.run("recovered.slice(told).map(([, complete]) => complete)") == [True]
    finally:
        profile.close()


def end_worker(browser: Browser, url: str) -> None:
    """End the shared worker of a site."""
    devtools = browser.new_browser_cdp_session()
    targets = devtools.send("Target.getTargets", {"filter": [{"type": "shared_worker"}]})["targetInfos"]
    (target,) = [each["targetId"] for each in targets if each["url"].startswith(url)]
    devtools.send("Target.closeTarget", {"targetId": target})


def test_a_frozen_first_tab(site: Site, name: str, shared_profile: ChromiumProfile, way: str) -> None:
    first, *others = chromium_tabs(shared_profile, site, 3, enter(f"/log/{name}", shared=True))
    site.say(f"log-{name}", 0)
    for page in (first, *others):
        until_messages(page, [0])
        page.run("void (window.told = recovered.length)")
    freeze(first)
    wait_until_connected([*others])
    for number in range(1, 20):
        site.say(f"log-{name}", number)
    for page in others:
        until_messages(page, [*range(20)])
        assert page.run("recovered.slice(told).every(([, complete]) => complete)")
    thaw(first)
    first.run("async () => { await until(() => recovered.length > told) }")
    site.say(f"log-{name}", 20)
    first.run("async () => { await until(() => messages.at(-1) === 20) }")
    # It comes to a connection that is open, and has missed what the others have: it is told so, or, where another has
    # taken over a moment ago, gets it.
    complete = first.run("recovered.at(-1)[1]")
    assert first.run("messages") == ([*range(21)] if complete else [0, 20])
    if way == "worker":
        assert not complete
    for page in others:
        until_messages(page, [*range(21)])


def test_a_first_tab_whose_script_hangs(site: Site, name: str, shared_profile: ChromiumProfile, way: str) -> None:
    """A leader that does not answer is replaced, and the server ends its connection for the new one's."""
    script = enter(f"/log/{name}", shared=True).replace("{", "{ window.hurry = true;", 1)
    first, *others = chromium_tabs(shared_profile, site, 3, script)
    site.say(f"log-{name}", 0)
    for page in (first, *others):
        until_messages(page, [0])
        page.run("void (window.told = recovered.length)")
    first.run("""void setTimeout(() => {
        const request = new XMLHttpRequest()
        request.open('GET', '/hold', false)
        request.send()
    })""")
    site.wait_for_held()
    wait_until_taken_over([*others], way)
    for number in range(1, 20):
        site.say(f"log-{name}", number)
    for page in others:
        until_messages(page, [*range(20)])
        assert page.run("recovered.slice(told).every(([, complete]) => complete)")
    site.release()
    wait_until_connected([first])
    site.say(f"log-{name}", 20)
    # What waited for it in its own connection may have come, or not; then it was told.
    first.run("async () => { await until(() => messages.at(-1) === 20, 60000) }")
    heard = first.run("messages")
    assert heard == sorted(set(heard))
    assert heard == [*range(21)] or not all(complete for _, complete, _ in first.run("recovered.slice(told)"))
    for page in others:
        until_messages(page, [*range(21)])
    site.wait_for_clients(1)


def test_a_page_from_the_back_forward_cache_gets_what_it_missed(site: Site, name: str, engine: Chromium) -> None:
    profile = engine.profile()
    try:
        (page,) = chromium_tabs(profile, site, 1, enter(f"/log/{name}"))
        site.say(f"log-{name}", 0)
        until_messages(page, [0])
        put_away(page, site)
        for number in range(1, 5):
            site.say(f"log-{name}", number)
        bring_back(page)
        until_messages(page, [0, 1, 2, 3, 4, "back"])
        assert page.run("recovered") == [[f"log-{name}", True, 4]]
    finally:
        profile.close()
