"""People who use the chat: each has a browser context of their own, cookies included."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from playwright.sync_api import Browser, BrowserContext, Locator, Page, WebSocketRoute, expect

__all__ = ["DESK", "KEY", "PHONE", "Line", "Visitor", "visitors"]

KEY = "the administrator's key"
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 640}

EXPECTED = ("401 (Unauthorized)", "404 (Not Found)", "409 (Conflict)")


class Visitor:
    """One person with a browser of their own."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.log = page.get_by_role("log")
        self.box = page.get_by_role("textbox", name=re.compile("^Message to"))
        self.banner = page.locator("#banner")
        self.people = page.locator("#people-list")
        self.status = page.locator("#status")

    def sign_in(self, name: str, room: str) -> None:
        self.page.goto(f"{self.url}/room/{room}")
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_role("button", name="Come in").click()

    def enter(self, name: str, room: str) -> None:
        self.sign_in(name, room)
        expect(self.people.get_by_text(name, exact=True)).to_be_attached()

    def say(self, text: str) -> None:
        self.box.fill(text)
        self.box.press("Enter")

    def sees(self, text: str) -> None:
        taken = self.log.locator(".message:not(.pending):not(.refused) .bubble")
        expect(taken.get_by_text(text, exact=True)).to_be_visible()

    def message(self, text: str) -> Locator:
        return self.log.locator(".message", has_text=text)


def visitors(chromium: Browser, url: str) -> Iterator[Callable[..., Visitor]]:
    """A function that makes visitors. An error that their pages throw or print fails the test."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def make(*, lost_server: bool = False, beside: Visitor | None = None, **options: object) -> Visitor:
        context = (
            beside.page.context if beside else chromium.new_context(**{"viewport": DESK, **options})  # type: ignore[arg-type]
        )
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        if not lost_server:  # Chromium reports every failed connection as an error
            page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        return Visitor(page, url)

    yield make
    for context in contexts:
        context.close()
    unexpected = [problem for problem in problems if not any(each in problem for each in EXPECTED)]
    assert not unexpected, unexpected


class Line:
    """The network between a page and its room, which a test can cut.

    Attributes:
        is_cut: new connections are refused.
        on_message: gets each message of the page first; False drops it.
        on_answer: gets each message of the server first; False drops it.
    """

    def __init__(self, page: Page, path: str = "/ws/room/") -> None:
        self.is_cut = False
        self.on_message: Callable[[str], bool] = lambda _: True
        self.on_answer: Callable[[str], bool] = lambda _: True
        self._open: list[WebSocketRoute] = []
        page.route_web_socket(re.compile(path), self._connect)

    def cut(self) -> None:
        """Cut the connection; messages under way are lost."""
        self.is_cut = True
        for route in self._open:
            route.close(code=1012)
        self._open.clear()

    def mend(self) -> None:
        """Accept connections again."""
        self.is_cut = False

    def _connect(self, page: WebSocketRoute) -> None:
        if self.is_cut:
            page.close(code=1012)
            return
        server = page.connect_to_server()
        self._open.append(page)

        def from_page(message: str | bytes) -> None:
            if self.on_message(str(message)) and not self.is_cut:
                server.send(message)

        def from_server(message: str | bytes) -> None:
            if self.on_answer(str(message)) and not self.is_cut:
                page.send(message)

        page.on_message(from_page)
        server.on_message(from_server)
