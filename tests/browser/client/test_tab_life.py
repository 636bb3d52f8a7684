"""What browsers do to tabs: crash, freeze, block, cache and cut them off. In Chromium, whose DevTools can do it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from playwright.sync_api import Error as PlaywrightError

from tests.browser.client.chromium import Chromium, ChromiumProfile, ChromiumTab
from tests.browser.client.conftest import WAYS, Site
from tests.browser.client.test_shared import OPEN, hear, open_tabs, wait_for_clients, wait_until_connected
from tests.browser.conftest import FLAGS, find_chromium

OWN = OPEN.replace("shared: true, ", "")


@pytest.fixture
def engine(chromium: Browser) -> Chromium:
    return Chromium(chromium)


@pytest.fixture(params=["worker", "leader"])
def way(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def chromium_tabs(profile: ChromiumProfile, site: Site, count: int, script: str = OPEN) -> list[ChromiumTab]:
    return [page for page in open_tabs(profile, site, count, script) if isinstance(page, ChromiumTab)]


def crash(page: ChromiumTab) -> None:
    """End the page's process, as running out of memory does."""
    with page.page.expect_event("crash"), pytest.raises(PlaywrightError):
        page.page.goto("chrome://crash")


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
    wait_for_clients(site, 1)
    hear(site, [*others], "after the crash")
    for page in others:
        page.close()
    wait_for_clients(site, 0)


def test_a_frozen_first_tab(site: Site, shared_profile: ChromiumProfile, way: str) -> None:
    first, *others = chromium_tabs(shared_profile, site, 3)
    first.devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
    wait_until_connected([*others])
    wait_for_clients(site, 1)
    hear(site, [*others], "while it sleeps")
    first.devtools.send("Page.setWebLifecycleState", {"state": "active"})
    wait_until_connected([first])
    wait_for_clients(site, 1)
    hear(site, [first, *others], "awake again")


def test_a_first_tab_whose_script_hangs(site: Site, shared_profile: ChromiumProfile, way: str) -> None:
    """No event tells of it: a leader that does not answer is replaced."""
    first, *others = chromium_tabs(shared_profile, site, 3)
    # A leader is given up after 40 s. A worker does not depend on any tab.
    seconds = 50 if way == "leader" else 5
    first.page.evaluate(f"setTimeout(() => {{ const end = Date.now() + {seconds}000; while (Date.now() < end); }})")
    if way == "leader":
        for page in others:
            page.run("async () => { await until(() => names().filter((name) => name === 'open').length === 2, 60000) }")
    hear(site, [*others], "while it hangs")
    first.page.set_default_timeout(90_000)
    first.run("async () => { await until(() => ws.connected, 30000) }")
    wait_for_clients(site, 1)
    hear(site, [first, *others], "awake again")


def test_offline_and_online_again(site: Site, shared_profile: ChromiumProfile) -> None:
    """A tab of its own: the browser says that the network is gone, nothing gets through, and the return is noticed at once."""
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


@pytest.fixture
def caching(chromium: Browser) -> Iterator[Chromium]:
    """A Chromium with the back/forward cache that Playwright turns off."""
    launched = chromium.browser_type.launch(
        executable_path=find_chromium(), args=FLAGS, ignore_default_args=["--disable-back-forward-cache"]
    )
    yield Chromium(launched)
    launched.close()


@pytest.mark.parametrize("script", [OWN, OPEN], ids=["own", "shared"])
def test_the_back_forward_cache(site: Site, caching: Chromium, way: str, script: str) -> None:
    """A page closes its connection when it is put away, which lets the browser keep it, and opens it when it is back."""
    profile = caching.profile(WAYS[way])
    page = profile.tab()
    page.goto(site.url + "/")
    page.run(script)
    page.run("window.kept = true; addEventListener('pagehide', ({ persisted }) => (window.persisted = persisted))")
    page.goto(site.url + "/count")
    wait_for_clients(site, 0)
    # A page from the cache is not loaded, and no "load" tells of it.
    page.page.go_back(wait_until="commit")
    assert page.run("[window.kept, window.persisted]") == [True, True], "the browser did not keep the page"
    page.run("async () => { await until(() => ws.connected); ws.send('back'); await until(() => messages.length) }")
    assert page.run("names()") == ["open", "close", "open"]
    assert page.run("log[1][1]") == 1001
    wait_for_clients(site, 1)
    profile.close()
