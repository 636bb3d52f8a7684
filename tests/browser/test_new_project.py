"""The page that ``odac new`` makes, in two windows, over a restart of the server."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from odac.new_project.project import create_project
from tests.browser.conftest import ServerProcess


def test_two_windows_and_a_restart(chromium: Browser, tmp_path: Path) -> None:
    create_project(str(tmp_path / "tea"))
    server = ServerProcess("app:app", arguments=["--app-dir", str(tmp_path / "tea")])
    server.start()
    errors: list[str] = []
    context = chromium.new_context()
    try:

        def window() -> Page:
            page = context.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(server.url)
            expect(page.locator("#state")).to_have_text("")
            return page

        ada, bob = window(), window()
        ada.get_by_label("A line").fill("<b>Milk?</b>")
        ada.get_by_role("button", name="Send").click()
        for page in (ada, bob):
            expect(page.locator("li")).to_contain_text(["<b>Milk?</b>"])
        expect(ada.get_by_label("A line")).to_have_value("")
        expect(window().locator("li")).to_have_count(1)  # a new page gets the last lines

        server.kill()
        expect(ada.locator("#state")).to_contain_text("Trying again")
        ada.get_by_label("A line").fill("kept")
        ada.get_by_role("button", name="Send").click()
        server.start()
        for page in (ada, bob):
            expect(page.locator("#state")).to_have_text("")
            expect(page.locator("li")).to_contain_text(["kept"])
        assert errors == []
    finally:
        context.close()
        server.kill()
