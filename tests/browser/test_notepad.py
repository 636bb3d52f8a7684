"""The notepad of the tutorial, as a newcomer copies it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser.chat_visitors import Line
from tests.browser.conftest import ROOT, ServerProcess


def test_a_dropped_connection_doubles_nothing(
    chromium: Browser, start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    page_of_docs = (ROOT / "docs" / "tutorial" / "first-app.md").read_text(encoding="utf-8")
    last = re.findall(r"```python\n(# notepad.py\n.*?)```", page_of_docs, re.DOTALL)[-1]
    (tmp_path / "notepad.py").write_text(last, encoding="utf-8")
    server = start_server("notepad:app", {"PYTHONPATH": str(tmp_path)})
    context = chromium.new_context()
    page = context.new_page()
    line = Line(page, "/notes$")
    page.goto(server.url)
    items = page.locator("#lines li")
    expect(page.locator("#who")).to_have_text("Only you are here.")

    def add(text: str) -> None:
        page.get_by_label("A line").fill(text)
        page.get_by_role("button", name="Add").click()

    add("milk")
    expect(items).to_have_text(["milk"])
    add("   ")
    add("")
    add("tea")
    expect(items).to_have_text(["milk", "tea"])

    line.cut()
    line.mend()
    add("bread")  # written while the connection was away
    expect(items).to_have_text(["milk", "tea", "bread"])
    expect(page.locator("#who")).to_have_text("Only you are here.")
    context.close()
