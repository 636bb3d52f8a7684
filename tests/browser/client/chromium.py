"""Chromium through Playwright."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page


class ChromiumTab:
    """A page; what is particular to Chromium is on ``page``."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def goto(self, url: str) -> None:
        self.page.goto(url)

    def run(self, script: str) -> Any:
        return self.page.evaluate(script)

    def close(self) -> None:
        self.page.close()


class ChromiumProfile:
    """A browser context; ``context`` has what is particular to Chromium."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context

    def tab(self) -> ChromiumTab:
        return ChromiumTab(self.context.new_page())

    def close(self) -> None:
        self.context.close()


class Chromium:
    """The browser, and who closes its profiles."""

    name = "chromium"

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    def profile(self, script: str = "", **options: Any) -> ChromiumProfile:
        context = self._browser.new_context(**options)
        if script:
            context.add_init_script(script)
        return ChromiumProfile(context)

    def close(self) -> None:
        self._browser.close()
