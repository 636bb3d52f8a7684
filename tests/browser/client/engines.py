"""Browsers to try the client in, behind one small interface: Chromium through Playwright, Firefox through WebDriver
BiDi.
"""

from __future__ import annotations

from typing import Any, Protocol


class Tab(Protocol):
    """A page."""

    def goto(self, url: str) -> None:
        """Load a page, and return when its scripts have run."""
        ...

    def run(self, script: str) -> Any:
        """Evaluate an expression in the page, wait if it is a promise, and return its JSON."""
        ...

    def close(self) -> None:
        """Close the page as a person does."""
        ...


class Profile(Protocol):
    """One person's browser: its tabs share cookies, workers, locks and channels."""

    def tab(self) -> Tab:
        """Open a tab."""
        ...

    def close(self) -> None:
        """Close all tabs, and forget the cookies."""
        ...


class Engine(Protocol):
    """A browser."""

    name: str

    def profile(self, script: str = "") -> Profile:
        """A fresh profile.

        Args:
            script: runs in every page before the page's own.
        """
        ...

    def close(self) -> None:
        """End the browser."""
        ...
