"""Browsers, and the server that they connect to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import httpx
import pytest
from playwright.sync_api import Browser

from tests.browser.client.chromium import Chromium
from tests.browser.client.engines import Engine, Profile, Tab
from tests.browser.client.firefox import Firefox, find_firefox
from tests.browser.conftest import ServerProcess

T = TypeVar("T")
APP = "tests.browser.client.app:app"

# The ways in which tabs share; each is forced by removing what the preferred ones need.
WAYS = {
    "worker": "",
    "leader": "delete window.SharedWorker",
    "alone": "delete window.SharedWorker; Object.defineProperty(navigator, 'locks', { value: undefined })",
}


def wait_for(look: Callable[[], T], enough: Callable[[T], bool], deadline: float = 60) -> T:
    """Check repeatedly, until the condition holds."""
    end = time.monotonic() + deadline
    while not enough(found := look()):
        assert time.monotonic() < end, f"it is still {found!r}"
        time.sleep(0.02)
    return found


class Site:
    """The server, as tests control it from outside."""

    def __init__(self, process: ServerProcess) -> None:
        self.process = process
        self.url = process.url

    def get(self, path: str) -> Any:
        return httpx.get(self.url + path).raise_for_status().json()

    @property
    def clients(self) -> int:
        """``client_count``: how many connections the server has."""
        count = self.get("/count")
        assert isinstance(count, int)
        return count

    @property
    def received(self) -> list[Any]:
        """What the route ``/record`` has received, from all clients."""
        received = self.get("/counters")["received"]
        assert isinstance(received, list)
        return received

    @property
    def attempts(self) -> dict[str, int]:
        """The number of attempts at a route that refuses."""
        attempts = self.get("/counters")["attempts"]
        assert isinstance(attempts, dict)
        return attempts

    def wait_for_clients(self, count: int) -> None:
        """Wait until the server has so many connections."""
        wait_for(lambda: self.clients, lambda clients: clients == count)

    def wait_for_received(self, count: int) -> list[Any]:
        """Wait until ``/record`` has received so many messages."""
        return wait_for(lambda: self.received, lambda received: len(received) >= count)

    def wait_for_held(self) -> None:
        """Wait until a request to ``/hold`` waits for :meth:`release`."""
        wait_for(lambda: self.get("/counters")["held"], lambda held: held > 0)

    def release(self) -> None:
        """Answer the requests to ``/hold``."""
        httpx.post(self.url + "/release").raise_for_status()

    def broadcast(self, data: Any) -> None:
        """Send to every connection."""
        httpx.post(self.url + "/broadcast", json=data).raise_for_status()

    def say(self, room: str, data: Any) -> None:
        """Append to the log of a room with history."""
        httpx.post(f"{self.url}/say/{room}", json=data).raise_for_status()


@pytest.fixture(scope="module")
def site_process(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    return start_server(APP)


@pytest.fixture
def site(site_process: ServerProcess) -> Iterator[Site]:
    """The server, with all records reset."""
    found = Site(site_process)
    httpx.post(found.url + "/forget").raise_for_status()
    yield found
    site_process.start_again()


@pytest.fixture(scope="session")
def firefox() -> Iterator[Firefox]:
    """Without Firefox a test is skipped, and fails in CI."""
    browser = Firefox(find_firefox())
    yield browser
    browser.close()


@pytest.fixture(params=["chromium", "firefox"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each browser in turn."""
    if request.param == "chromium":
        browser: Browser = request.getfixturevalue("chromium")
        return Chromium(browser)
    found: Firefox = request.getfixturevalue("firefox")
    return found


@pytest.fixture(params=["worker", "leader"])
def way(request: pytest.FixtureRequest) -> str:
    """Each way to share in turn. Tabs that cannot share are tested by the tests without sharing."""
    name: str = request.param
    return name


@pytest.fixture
def profile(engine: Engine) -> Iterator[Profile]:
    """A fresh profile of each browser."""
    made = engine.profile()
    yield made
    made.close()


@pytest.fixture
def shared_profile(engine: Engine, way: str) -> Iterator[Profile]:
    """A fresh profile of each browser, in which tabs share in one of the ways."""
    made = engine.profile(WAYS[way])
    yield made
    made.close()


@pytest.fixture
def tab(profile: Profile, site: Site) -> Tab:
    """A page of the site, in each browser."""
    made = profile.tab()
    made.goto(site.url + "/")
    return made
