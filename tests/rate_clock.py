"""A clock for rate limits that the test sets, instead of the machine's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from odac.realtime import rate
from odac.speedups import compiled_meter

_NO_REFERENCE: Any = None


@contextmanager
def rate_clock(clock: Callable[[], float]) -> Iterator[None]:
    """Rate meters read this clock, compiled or not."""
    with patch.object(rate, "monotonic", clock):
        compiled_meter(_NO_REFERENCE, clock)
        try:
            yield
        finally:
            compiled_meter(_NO_REFERENCE, time.monotonic)
