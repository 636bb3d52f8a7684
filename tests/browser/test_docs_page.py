"""The docs page in a browser: on a phone and on a desk, within its strict policy, talking to a route."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import ServerProcess


@pytest.mark.parametrize("width", [360, 1200])
def test_routes_are_shown_and_tried(chromium: Browser, start_server: Callable[..., ServerProcess], width: int) -> None:
    server = start_server("tests.unit.contract.chess:app")
    context = chromium.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto(f"{server.url}/odac/docs")
    expect(page.locator("details")).to_have_count(2)
    chess, root = page.locator("details").all()
    chess.locator("summary").click()
    expect(chess).to_contain_text('Say { type: "say", text: string }')
    expect(chess).to_contain_text("Move a piece.")
    expect(chess).to_contain_text("chess.py:")
    chess.locator("summary").click()
    root.locator("summary").click()
    root.get_by_role("button", name="Connect").click()
    expect(root.get_by_role("status")).to_have_text("open")
    root.get_by_label("JSON").fill('{"hello": 1}')
    root.get_by_role("button", name="Send").click()
    expect(root.get_by_role("listitem").first).to_contain_text('← {"hello":1}')
    root.get_by_label("JSON").fill("{")
    root.get_by_role("button", name="Send").click()
    expect(root.get_by_role("listitem").first).to_contain_text("not JSON")
    root.get_by_role("button", name="Close").click()
    expect(root.get_by_role("status")).to_have_text("closed")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert told == []
    context.close()
