"""What browsers do to tabs: crash, freeze, block, cache and cut them off. In Chromium, whose DevTools can do it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser
from playwright.sync_api import Error as PlaywrightError

from tests.browser.client.chromium import Chromium, ChromiumProfile, ChromiumTab
from tests.browser.client.conftest import Site
from tests.browser.client.test_shared import OPEN, hear, open_tabs, wait_until_taken_over

OWN = OPEN.replace("shared: true, ", "")


@pytest.fixture(scope="module")
def chromium(whole_chromium: Browser) -> Browser:
    return whole_chromium


@pytest.fixture
def engine(chromium: Browser) -> Chromium:
    return Chromium(chromium)


def chromium_tabs(profile: ChromiumProfile, site: Site, count: int, script: str = OPEN) -> list[ChromiumTab]:
    return [page for page in open_tabs(profile, site, count, script) if isinstance(page, ChromiumTab)]


def crash(page: ChromiumTab) -> None:
    """End the page's process, as running out of memory does."""
    with page.page.expect_event("crash"), pytest.raises(PlaywrightError):
        page.page.goto("chrome://crash")


def freeze(page: ChromiumTab) -> None:
    """Tell the page what a browser tells one that it freezes: DevTools freeze none that can be seen."""
    page.run("void document.dispatchEvent(new Event('freeze'))")


def thaw(page: ChromiumTab) -> None:
    """Tell the page what a browser tells one that it freezes no more."""
    page.run("void document.dispatchEvent(new Event('resume'))")


def test_a_crash_of_the_first_tab(site: Site, shared_profile: ChromiumProfile, way: str) -> None:
    first, *others = chromium_tabs(shared_profile, site, 3)
    crash(first)
    # Who held the connection may have been of the same process: then the others have to open another.
    for page in others:
        page.run("""async () => {
            const knock = setInterval(() => ws.send('still here'), 100)
            await until(() => messages.includes('still here'))
            clearInterval(knock)
        }""")
    site.wait_for_clients(1)
    hear(site, [*others], "after the crash")
    for page in others:
        page.close()
    site.wait_for_clients(0)


def test_a_frozen_first_tab(site: Site, shared_profile: ChromiumProfile, way: str) -> None:
    first, *others = chromium_tabs(shared_profile, site, 3)
    freeze(first)
    wait_until_taken_over([*others], way)
    site.wait_for_clients(1)
    hear(site, [*others], "while it sleeps")
    thaw(first)
    wait_until_taken_over([first], "leader")
    site.wait_for_clients(1)
    hear(site, [first, *others], "awake again")
    assert first.run("messages.includes('while it sleeps')") is False


def test_a_first_tab_whose_script_hangs(site: Site, shared_profile: ChromiumProfile, way: str) -> None:
    """No event tells of it: a leader that does not answer is replaced. A worker does not depend on any tab."""
    first, *others = chromium_tabs(shared_profile, site, 3, OPEN.replace("{", "{ window.hurry = true;", 1))
    first.run("""void setTimeout(() => {
        const request = new XMLHttpRequest()
        request.open('GET', '/hold', false)
        request.send()
    })""")
    site.wait_for_held()
    wait_until_taken_over([*others], way)
    hear(site, [*others], "while it hangs")
    site.release()
    wait_until_taken_over([first], way)
    site.wait_for_clients(1)
    hear(site, [first, *others], "awake again")


def test_offline_and_online_again(site: Site, shared_profile: ChromiumProfile) -> None:
    """A tab of its own: the browser says that the network is gone, nothing gets through, and the return is noticed at
    once.
    """
    (page,) = chromium_tabs(shared_profile, site, 1, OWN.replace("reconnectDelay: 50", "reconnectDelay: 30000"))
    shared_profile.context.set_offline(True)
    site.process.kill()
    page.run("""async () => {
        await until(() => names().includes('offline') && names().includes('reconnecting'))
        ws.send('kept')
    }""")
    site.process.start()
    shared_profile.context.set_offline(False)
    # Long before the half minute is over.
    page.run("async () => { await until(() => messages.includes('kept'), 10000) }")
    assert page.run("log.filter(([name]) => name === 'reconnecting').length") == 1


def test_a_lost_network_is_noticed_long_before_the_next_ping(site: Site, shared_profile: ChromiumProfile) -> None:
    (page,) = chromium_tabs(shared_profile, site, 1, OWN)
    page.run("void addEventListener('offline', () => (window.lost = performance.now()))")
    shared_profile.context.set_offline(True)
    elapsed = page.run("""async () => {
        await until(() => names().includes('close'), 60000)
        return [names().slice(0, 3), performance.now() - lost]
    }""")
    assert elapsed[0] == ["open", "offline", "close"]
    assert elapsed[1] < 30_000
    shared_profile.context.set_offline(False)
    page.run("async () => { await until(() => ws.connected); ws.send('x'); await until(() => messages.includes('x')) }")


@pytest.mark.parametrize("script", [OWN, OPEN], ids=["own", "shared"])
def test_the_back_forward_cache(site: Site, shared_profile: ChromiumProfile, script: str) -> None:
    """A page closes its connection when it is put away, which lets the browser keep it, and opens it when it is back."""
    (page,) = chromium_tabs(shared_profile, site, 1, script)
    put_away(page, site)
    site.wait_for_clients(0)
    bring_back(page)
    assert page.run("names()") == ["open", "close", "open"]
    assert page.run("log[1][1]") == 1001
    site.wait_for_clients(1)


@pytest.mark.parametrize("which", [0, 1], ids=["first", "second"])
def test_the_back_forward_cache_beside_another_tab(
    site: Site, shared_profile: ChromiumProfile, way: str, which: int
) -> None:
    """Neither who holds the connection nor who waits to do so is kept out of the cache by a lock."""
    tabs = chromium_tabs(shared_profile, site, 2)
    page, other = tabs[which], tabs[1 - which]
    put_away(page, site)
    wait_until_taken_over([other], way if which == 0 else "")
    site.wait_for_clients(1)
    hear(site, [other], "meanwhile")
    bring_back(page)
    site.wait_for_clients(1)
    hear(site, [*tabs], "again")
    assert page.run("messages.includes('meanwhile')") is False


def put_away(page: ChromiumTab, site: Site) -> None:
    """Go on to another page."""
    page.run("window.kept = true; addEventListener('pagehide', ({ persisted }) => (window.persisted = persisted))")
    page.goto(site.url + "/away")


def bring_back(page: ChromiumTab) -> None:
    # A page from the cache is not loaded, and no "load" tells of it.
    page.page.go_back(wait_until="commit")
    assert page.run("[window.kept, window.persisted]") == [True, True], "the browser did not keep the page"
    page.run(
        "async () => { await until(() => ws.connected); ws.send('back'); await until(() => messages.includes('back')) }"
    )
