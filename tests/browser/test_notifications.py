"""The notifications example: however many tabs are open, the server sees one connection."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Browser, expect

from tests.browser.conftest import ServerProcess


def test_all_tabs_share_one_connection(chromium: Browser, start_server: Callable[..., ServerProcess]) -> None:
    server = start_server("examples.notifications.app:app")
    context = chromium.new_context()
    tabs = [context.new_page() for _ in range(3)]
    for tab in tabs:
        tab.goto(server.url)
        expect(tab.get_by_role("status")).to_have_text("Connected.")
    tabs[1].get_by_role("button", name="Notify every tab").click()
    for tab in tabs:
        expect(tab.get_by_role("listitem")).to_have_text("Notification 1, sent over 1 connection.")
    # The tab that was there first goes; the others stay connected
    tabs[0].close()
    tabs[1].get_by_role("button").click()
    for tab in tabs[1:]:
        expect(tab.get_by_role("listitem").first).to_have_text("Notification 2, sent over 1 connection.")
    context.close()
