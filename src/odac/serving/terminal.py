"""Distinguishes a closed terminal (stop) from ``kill -HUP`` (restart): both send SIGHUP."""

from __future__ import annotations

import sys
from typing import Final

__all__ = ["terminal_is_gone"]


def terminal_is_gone() -> bool:
    """Whether the process was started in a terminal that has been closed."""
    try:
        with open("/dev/tty"):  # noqa: PTH123 - opens at once or not at all
            return False
    except OSError:
        return _was_terminal


_was_terminal: Final = sys.stdin is not None and sys.stdin.isatty()
