"""Watches source files by their modification times, which needs no package and has no limit of watches."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Final

__all__ = ["Watch", "source_files"]

_INTERVAL: Final = 0.4
"""Seconds between two checks."""
_SKIPPED: Final = frozenset({"node_modules", "site-packages", "__pycache__", "venv"})


def source_files(folders: Sequence[str]) -> Iterator[str]:
    """Every ``.py`` file below these folders, except in installed packages and hidden folders."""
    for folder in folders:
        for path, inner, names in os.walk(folder or "."):
            inner[:] = [each for each in inner if each not in _SKIPPED and not each.startswith(".")]
            for name in names:
                if name.endswith(".py"):
                    yield os.path.join(path, name)  # noqa: PTH118 - of thousands of files, twice a second


def _times(folders: Sequence[str]) -> dict[str, int]:
    found = {}
    for path in source_files(folders):
        try:
            found[path] = os.stat(path).st_mtime_ns  # noqa: PTH116
        except OSError:
            continue
    return found


class Watch:
    """Watches source files from its creation on.

    Args:
        folders: the folders that contain them; an empty name is the current directory.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = folders
        self._seen = _times(folders)

    async def changes(self) -> AsyncGenerator[str]:
        """Yield the names of files that were changed, added or removed, once no further change follows."""
        pending: set[str] = set()
        while True:
            await asyncio.sleep(_INTERVAL)
            seen, now = self._seen, await asyncio.to_thread(_times, self._folders)
            different = {path for path in seen.keys() | now.keys() if seen.get(path) != now.get(path)}
            self._seen = now
            pending |= different
            if pending and not different:  # wait until nothing changes: an editor or a checkout may write several files
                names = sorted(Path(path).as_posix().removeprefix("./") for path in pending)
                pending = set()
                yield ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
