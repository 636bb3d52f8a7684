"""Boxes, arrows and words as SVG, in the colours of a light or a dark page.

Graphviz and Mermaid place boxes by themselves, and each release places them a little differently; here every drawing
sets its coordinates, so that a test can compare the committed files with what the script draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["Picture"]

STYLE = """
.page{fill:#fff}.ink{fill:#1c2733}.muted{fill:#566370}.accent-ink{fill:#17586f}
.box{fill:#f4f6f8;stroke:#c3ccd4}.accent{fill:#e2f0f5;stroke:#1f6f8b}.ghost{fill:none;stroke:#aeb9c3;stroke-dasharray:4 4}
.bar{fill:#9aa5b1}.bar-accent{fill:#1f6f8b}
.line{stroke:#566370;fill:none;stroke-width:1.5}.dashed{stroke-dasharray:5 4}.head{fill:#566370}
.title{font-weight:600;font-size:12.5px}.code{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:12px}.small{font-size:12px}
@media (prefers-color-scheme:dark){
.page{fill:#12171c}.ink{fill:#e4e9ee}.muted{fill:#a3b0bc}.accent-ink{fill:#8fd0e6}
.box{fill:#1b232b;stroke:#3d4a55}.accent{fill:#16323c;stroke:#5db7d4}.ghost{stroke:#55636f}
.bar{fill:#566370}.bar-accent{fill:#5db7d4}.line{stroke:#a3b0bc}.head{fill:#a3b0bc}
}
""".strip().replace("\n", "")

FORM = 'font-family="system-ui, sans-serif" font-size="13" role="img" aria-labelledby="title description"'
HEAD = (
    '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto-start-reverse"><path class="head" d="M0 0 8 4 0 8z"/></marker>'
)

LINE = 17
"""Height of a line of text."""


class Picture:
    """An SVG with its own background, so that it can be read on any page.

    Args:
        width: in units of the drawing, as all lengths here.
        height: likewise.
        title: of the picture, for screen readers.
        description: what it shows, in a sentence or two, for screen readers.
    """

    def __init__(self, width: int, height: int, title: str, description: str) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {FORM}>',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="description">{escape(description)}</desc>',
            f"<style>{STYLE}</style>",
            f"<defs>{HEAD}</defs>",
            f'<rect class="page" width="{width}" height="{height}" rx="6"/>',
        ]

    def text(self, x: float, y: float, words: str, kind: str = "ink", anchor: str = "start") -> None:
        """Write words whose baseline is at ``y``; ``kind`` is one or more classes of the style."""
        self._parts.append(f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>')

    def box(
        self, x: float, y: float, width: float, height: float, title: str = "", *lines: str, kind: str = "box"
    ) -> None:
        """Draw a box with a title and lines below it in its middle; a line that begins with ``>`` is code."""
        self._parts.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5"/>')
        rows = [row for row in (title, *lines) if row]
        at = y + height / 2 - (len(rows) - 1) * LINE / 2 + 4.5
        for number, row in enumerate(rows):
            style = "ink code" if row.startswith(">") else "ink title" if row is title else "muted small"
            self.text(x + width / 2, at + number * LINE, row.removeprefix(">"), style, "middle")

    def frame(self, x: float, y: float, width: float, height: float, title: str) -> None:
        """Draw a dashed frame around other things, with its title at the top left."""
        self._parts.append(f'<rect class="ghost" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="7"/>')
        self.text(x + 10, y + 18, title, "muted title")

    def arrow(self, points: Sequence[tuple[float, float]], *, dashed: bool = False, both: bool = False) -> None:
        """Draw an arrow along these points; with ``both``, a head at either end."""
        path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
        start = ' marker-start="url(#head)"' if both else ""
        self._parts.append(
            f'<path class="line{" dashed" if dashed else ""}" d="{path}" marker-end="url(#head)"{start}/>'
        )

    def bar(self, x: float, y: float, width: float, height: float, kind: str = "bar") -> None:
        """Draw a bar of a plot."""
        self._parts.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:.1f}" height="{height:g}"/>')

    def __str__(self) -> str:
        return "\n".join([*self._parts, "</svg>", ""])
