"""The drawings of the documentation are what the scripts draw, are shown somewhere, and can be read."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from scripts.pictures.__main__ import FOLDER, drawings
from scripts.pictures.plot import beside_peers, figures
from tests.unit.test_docs import PAGES

SVG = "{http://www.w3.org/2000/svg}"
DRAWN = drawings()


def test_what_is_committed_is_what_the_scripts_draw() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.svg")}
    assert committed.keys() == DRAWN.keys()
    assert [name for name, svg in DRAWN.items() if committed[name] != svg] == [], "`make pictures` draws them again"


def test_each_is_shown_on_a_page() -> None:
    shown = " ".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in DRAWN if not re.search(rf"!\[[^\]]+\]\([^)]*pictures/{re.escape(name)}\)", shown)] == []


@pytest.mark.parametrize("name", DRAWN)
def test_it_is_read_out_and_stays_within_its_edges(name: str) -> None:
    root = ElementTree.fromstring(DRAWN[name])  # our own file
    for part in ("title", "desc"):
        found = root.find(f"{SVG}{part}")
        assert found is not None
        assert found.text
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for rectangle in root.iter(f"{SVG}rect"):
        x, y = float(rectangle.get("x", 0)), float(rectangle.get("y", 0))
        assert x >= 0
        assert y >= 0
        assert x + float(rectangle.attrib["width"]) <= width
        assert y + float(rectangle.attrib["height"]) <= height
    for words in root.iter(f"{SVG}text"):
        assert words.text, "no text that says nothing"
        # About 7 units a letter at 13 units: generous, for the reader's own font.
        length = 7.2 * len(words.text)
        x, share = float(words.attrib["x"]), {"start": 0.0, "middle": 0.5, "end": 1.0}[words.attrib["text-anchor"]]
        assert x - share * length >= 0, words.text
        assert x + (1 - share) * length <= width, words.text


def test_the_plot_has_the_figures_of_the_page() -> None:
    page = "## echo\n\n| a | 1.00 | x |\n\n## fan\n\n| server | µs |\n|---|---:|\n| odac | 2.00 | 1 |\n| slow | 900.00 | 2 |\n"
    assert figures("fan", page) == {"odac": 2.0, "slow": 900.0}
    root = ElementTree.fromstring(str(beside_peers(page)))
    assert [float(bar.attrib["width"]) for bar in root.iter(f"{SVG}rect") if "bar" in bar.get("class", "")] == [21, 420]
    assert "→ 900" in [words.text for words in root.iter(f"{SVG}text")]
