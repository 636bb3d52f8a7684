"""Tracks which other processes are alive for presence, and drops the people of those that have gone."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from typing import Final

__all__ = ["GONE", "LATE", "UNSEEN", "Others"]

GONE: Final = 19.5
"""Seconds after which a silent process counts as gone. The bus reports the silence after 10.5 s (``PATIENCE`` times
``INTERVAL`` of :mod:`odac.cluster.bus`), so this is 30 s after its last heartbeat."""
UNSEEN: Final = 30.0
"""Seconds after which a process that has sent its people but no heartbeat counts as gone."""
LATE: Final = 5.0
"""Seconds. A timer this late shows that this process was suspended, so the others' silence does not count."""


class Others:
    """Drops the people of a process when it has been silent for too long, or some time after it has shut down.

    Args:
        loop: the event loop for timers.
        drop: called with a process and seconds: its people are removed from the rooms whose grace is at most that long.
    """

    __slots__ = ("_drop", "_leaving", "_loop", "_suspects")

    def __init__(self, loop: AbstractEventLoop, drop: Callable[[bytes, float], None]) -> None:
        self._loop = loop
        self._drop = drop
        self._leaving: dict[bytes, TimerHandle] = {}
        self._suspects: set[bytes] = set()

    @property
    def any_suspect(self) -> bool:
        """Whether any process sends no heartbeats but does not count as gone yet."""
        return bool(self._suspects)

    def __contains__(self, origin: object) -> bool:
        """Whether a timer is running after which a process counts as gone."""
        return origin in self._leaving

    def seen(self, origin: bytes) -> None:
        """A process has sent a heartbeat."""
        self._suspects.discard(origin)
        self._cancel(origin)

    def silent(self, origin: bytes) -> None:
        """A process sends no heartbeats: it is suspect, and counts as gone if that continues."""
        self._suspects.add(origin)
        self._later(origin, [(GONE, GONE)])

    def unseen(self, origin: bytes) -> None:
        """A process has sent its people but no heartbeat yet: it may have ended before its first one."""
        self._later(origin, [(UNSEEN, UNSEEN)])

    def left(self, origin: bytes, graces: list[float]) -> None:
        """A process has shut down normally: its people stay in each room for the room's grace period.

        Args:
            origin: the process.
            graces: the grace periods of the rooms with people of it, in seconds, the shortest first.
        """
        self._suspects.discard(origin)
        self._cancel(origin)
        if graces:
            self._later(
                origin, [(grace, grace - before) for before, grace in zip([0.0, *graces], graces, strict=False)]
            )

    def _later(self, origin: bytes, steps: list[tuple[float, float]]) -> None:
        """Drop a process in steps; each step has the seconds for the callback, and the seconds to wait before it."""
        self._cancel(origin)
        wait = steps[0][1]
        due = self._loop.time() + wait
        self._leaving[origin] = self._loop.call_later(wait, self._next, origin, steps, due)

    def _next(self, origin: bytes, steps: list[tuple[float, float]], due: float) -> None:
        if self._loop.time() - due > LATE:
            self._later(origin, [(GONE, GONE)])
            return
        (passed, _), *rest = steps
        if rest:
            self._later(origin, rest)
        else:
            del self._leaving[origin]
            self._suspects.discard(origin)
            passed = float("inf")
        self._drop(origin, passed)

    def _cancel(self, origin: bytes) -> None:
        timer = self._leaving.pop(origin, None)
        if timer is not None:
            timer.cancel()

    def stop(self) -> None:
        """Stop dropping people."""
        for timer in self._leaving.values():
            timer.cancel()
        self._leaving.clear()
        self._suspects.clear()
