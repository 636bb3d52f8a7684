"""Settings of malloc and of the garbage collector for a process that serves.

glibc returns every freed block from 128 KiB on to the kernel, and the end of the heap likewise, and then needs fresh
pages for the next message: with 1 MiB messages, three quarters of an echo's time. Other allocators have no such
setting, or do not do this.

Python's garbage collector scans all modules, classes and functions again each time the connections have grown by a
quarter of all objects: some 3 % of a handshake, for objects that live as long as the process.
"""

from __future__ import annotations

import gc
import os
from typing import Final

__all__ = ["keep_freed_pages", "spare_what_stays"]

# mallopt(3), and the numbers of <malloc.h>
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3

_KEPT: Final = 8 * 1024 * 1024
"""Bytes at the end of the heap that the process keeps: a few messages of the default ``max_payload``."""
_FROM_HEAP: Final = 4 * 1024 * 1024
"""Bytes of the largest block that is allocated from the heap; larger ones get pages of their own, as before."""


def keep_freed_pages() -> bool:
    """Set both for this process, unless its environment configures malloc.

    Returns:
        whether this C library has accepted the settings.
    """
    if any(name.startswith("MALLOC_") for name in os.environ) or "malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        from ctypes import CDLL

        mallopt = CDLL(None).mallopt
    except (ImportError, OSError, TypeError, AttributeError):  # musl, macOS, Windows
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _FROM_HEAP)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT))


def spare_what_stays() -> None:
    """Exclude all present objects from garbage collection: after the app's start, before the first connection."""
    gc.collect()
    gc.freeze()
