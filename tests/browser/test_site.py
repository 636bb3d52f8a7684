"""The documentation site as `make docs` builds it, served as files: search, dark mode, nothing from elsewhere."""

from __future__ import annotations

import functools
import http.server
import os
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import ROOT

BUILT = ROOT / "build" / "docs"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    if not (BUILT / "index.html").exists():
        assert os.environ.get("CI") != "true", "the site is not built, and CI leaves nothing out"
        pytest.skip("`make docs` builds the site")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(BUILT)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    context = chromium.new_context(base_url=address, color_scheme="dark")
    page = context.new_page()
    wrong: list[str] = []
    page.on(
        "request", lambda request: None if request.url.startswith((address, "data:")) else wrong.append(request.url)
    )
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", lambda response: wrong.append(response.url) if response.status >= 400 else None)
    yield page
    context.close()
    assert wrong == []


def test_the_first_page_has_four_doors(page: Page) -> None:
    page.goto("/")
    for door in ("Try", "Learn", "Look up", "Understand"):
        page.get_by_role("table").get_by_role("link", name=door, exact=True).click()
        expect(page.locator("h2", has_text=door)).to_be_in_viewport()
    page.locator(".sidebar-tree").get_by_role("link", name="Python API").click()
    expect(page.locator("h1", has_text="Python API")).to_be_visible()


def test_search_finds_a_page_and_a_name(page: Page) -> None:
    page.goto("/")
    search = page.get_by_role("textbox", name="Search").first
    search.fill("excluding")
    search.press("Enter")
    found = page.locator("ul.search li")
    expect(found.filter(has_text="Server API")).not_to_have_count(0)
    expect(found.filter(has_text="(Python method, in Python API)")).not_to_have_count(0)


def test_dark_and_light(page: Page) -> None:
    page.goto("/explanation/delivery.html")
    background = "() => getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)  # as the system has it
    page.locator(".theme-toggle:visible").first.click()
    page.wait_for_function(f"dark => ({background})() !== dark", arg=dark)


@pytest.mark.parametrize("name", ["how-to/calls", "reference/api", "explanation/measured"])
def test_a_phone_scrolls_in_one_direction(page: Page, name: str) -> None:
    page.set_viewport_size({"width": 360, "height": 700})
    page.goto(f"/{name}.html")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert "test\nfrom odac" not in page.content(), "hidden tests are not shown"
