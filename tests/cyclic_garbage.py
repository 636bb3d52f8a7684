"""Objects that only the garbage collector can free, for tests of what has to be freed without it; see ``collector``."""

from __future__ import annotations

import gc
from collections.abc import Callable

__all__ = ["cyclic_garbage"]


def cyclic_garbage(*packages: str, collect: Callable[[], object] = gc.collect) -> list[str]:
    """The classes of the objects that only the garbage collector frees.

    Args:
        packages: of these alone.
        collect: runs the collector, where it has to run in another thread.
    """
    gc.set_debug(gc.DEBUG_SAVEALL)
    collect()
    gc.set_debug(0)
    prefixes = tuple(f"{each}." for each in packages)
    found = [type(each).__name__ for each in gc.garbage if type(each).__module__.startswith(prefixes)]
    gc.garbage.clear()
    return found
