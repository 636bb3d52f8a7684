"""Write the drawings: ``python -m scripts.pictures``."""

from __future__ import annotations

from pathlib import Path

from scripts.pictures.diagrams import DIAGRAMS
from scripts.pictures.plot import beside_peers

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"


def drawings() -> dict[str, str]:
    """The SVG of each file in ``docs/pictures``."""
    every = {name: str(draw()) for name, draw in DIAGRAMS.items()}
    return {f"{name}.svg": svg for name, svg in {**every, "rooms-beside-peers": str(beside_peers())}.items()}


def main() -> None:
    """Write what has changed."""
    FOLDER.mkdir(exist_ok=True)
    for name, svg in drawings().items():
        (FOLDER / name).write_text(svg, encoding="utf-8")
        print(f"docs/pictures/{name}")


if __name__ == "__main__":
    main()
