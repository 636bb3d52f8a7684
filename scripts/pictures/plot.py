"""The plot of rooms beside the peers, from the figures of the page of measurements."""

from __future__ import annotations

import re
from pathlib import Path

from scripts.pictures.drawing import Picture

__all__ = ["beside_peers", "figures"]

MEASURED = Path(__file__).parents[2] / "docs" / "explanation" / "measured.md"
LONGEST = 40.0
"""Microseconds of the longest bar; a longer one is drawn open, with its figure."""


def figures(load: str, page: str) -> dict[str, float]:
    """The median microseconds of each server under this load, in the page's order."""
    section = re.search(rf"^## {re.escape(load)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert section, f"no section {load!r}"
    return {
        name: float(median) for name, median in re.findall(r"^\| ([^|]+?) \| ([\d.]+) \|", section[1], re.MULTILINE)
    }


def beside_peers(page: str | None = None) -> Picture:
    """One bar for each server: CPU time for each delivery in a room of 1,000."""
    rows = figures("fan", MEASURED.read_text(encoding="utf-8") if page is None else page)
    it = Picture(
        720,
        70 + 26 * len(rows),
        "A room of 1,000, beside the peers",
        "Server CPU per delivery, in microseconds: "
        + ", ".join(f"{name} {value:.1f}" for name, value in rows.items())
        + ".",
    )
    it.text(20, 28, "A room of 1,000: µs of server CPU for each delivery", "ink title")
    for number, (name, value) in enumerate(rows.items()):
        y = 46 + number * 26
        width = min(value, LONGEST) / LONGEST * 420
        it.text(190, y + 13, name, "ink", "end")
        it.bar(200, y, width, 17, "bar-accent" if name == "odac" else "bar")
        it.text(206 + width, y + 13, f"{value:,.1f}" if value <= LONGEST else f"→ {value:,.0f}", "muted")
    it.text(
        20,
        60 + 26 * len(rows),
        "Less is better. docs/explanation/measured.md has the machine and the spread.",
        "muted small",
    )
    return it
