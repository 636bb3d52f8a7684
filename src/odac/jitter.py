"""Random numbers, by which clients and processes that lost the same thing do not all act at the same moment.

Drawing them from the functions of :mod:`random` would change the sequence of an application that has seeded it, and
Hypothesis reports a strategy as flaky if another thread draws from them meanwhile.
"""

from __future__ import annotations

from random import SystemRandom
from typing import Final

__all__ = ["RANDOM"]

RANDOM: Final = SystemRandom()
"""Takes its numbers from the operating system, so that forked processes do not share a sequence."""
