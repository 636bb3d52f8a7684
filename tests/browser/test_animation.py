"""The animation of the README: the script plays the scene with the real chat, and what it writes can be shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from scripts.pictures.animation import CAPTION, HEIGHT, OUTPUT, WIDTH, record
from tests.browser.conftest import ROOT, find_chromium


def test_the_scene_plays(tmp_path: Path) -> None:
    film = record(find_chromium())
    film.save(tmp_path / "chat.webp")
    with Image.open(tmp_path / "chat.webp") as written:
        assert written.format == "WEBP"
        assert written.size == (WIDTH, HEIGHT + CAPTION)
        # One picture each for a message of six letters and more, typed by threes, and for what follows.
        assert getattr(written, "n_frames", 1) > 20
    assert 6 < film.duration < 20


def test_the_readme_shows_it() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"!\[[^\]]{40,}\]\((docs/pictures/[\w.]+)\)", readme)
    assert shown
    assert ROOT / shown[1] == OUTPUT
    assert OUTPUT.stat().st_size < 1024 * 1024
    with Image.open(OUTPUT) as animation:
        lengths = []
        for number in range(getattr(animation, "n_frames", 1)):
            animation.seek(number)
            animation.load()
            lengths.append(animation.info["duration"])
    assert sum(lengths) == pytest.approx(10_000, rel=0.5)
