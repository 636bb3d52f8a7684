"""Names of parametrized tests."""

from __future__ import annotations

import re


def stable(value: object) -> str:
    """The value's repr without a memory address: processes that share the tests must give them the same names."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
