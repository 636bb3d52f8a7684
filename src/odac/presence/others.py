"""Tracks which other processes run, for presence, and drops the people of those that have left or are gone.

A process *has left* when it announced its stop, is *silent* when it has sent no heartbeat for 10.5 s, and is *gone*
when its silence has lasted 30 s.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from typing import Final

__all__ = ["GONE_AFTER_SILENCE", "LATE", "GONE_UNSEEN", "Others"]

GONE_AFTER_SILENCE: Final = 19.5
"""Seconds for which a process must be silent until it is gone. The bus calls it silent after 10.5 s (``PATIENCE`` times
``INTERVAL`` of :mod:`odac.cluster.bus`), so this is 30 s after its last heartbeat."""
GONE_UNSEEN: Final = 30.0
"""Seconds after which a process that has sent its people but no heartbeat is gone."""
LATE: Final = 5.0
"""Seconds. A timer this late shows that this process was suspended, so the others' silence does not count."""


class Others:
    """Drops the people of a process when it is gone, or for each room some time after it has left.

    Args:
        loop: the event loop for timers.
        drop: called with a process and seconds: its people are removed from the rooms whose grace is at most that long.
    """

    __slots__ = ("_drop", "_loop", "_silent", "_timers")

    def __init__(self, loop: AbstractEventLoop, drop: Callable[[bytes, float], None]) -> None:
        self._loop = loop
        self._drop = drop
        self._timers: dict[bytes, TimerHandle] = {}
        self._silent: set[bytes] = set()

    @property
    def any_silent(self) -> bool:
        """Whether any process is silent but not gone yet."""
        return bool(self._silent)

    def __contains__(self, origin: object) -> bool:
        """Whether a timer is running that drops a process."""
        return origin in self._timers

    def seen(self, origin: bytes) -> None:
        """A process has sent a heartbeat."""
        self._silent.discard(origin)
        self._cancel(origin)

    def silent(self, origin: bytes) -> None:
        """A process is silent: it will be gone if that continues."""
        self._silent.add(origin)
        self._later(origin, [(GONE_AFTER_SILENCE, GONE_AFTER_SILENCE)])

    def unseen(self, origin: bytes) -> None:
        """A process has sent its people but no heartbeat yet: it may have ended before its first one."""
        self._later(origin, [(GONE_UNSEEN, GONE_UNSEEN)])

    def left(self, origin: bytes, graces: list[float]) -> None:
        """A process has left: its people stay in each room for the room's grace period.

        Args:
            origin: the process.
            graces: the grace periods of the rooms with people of it, in seconds, the shortest first.
        """
        self._silent.discard(origin)
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
        self._timers[origin] = self._loop.call_later(wait, self._next, origin, steps, due)

    def _next(self, origin: bytes, steps: list[tuple[float, float]], due: float) -> None:
        if self._loop.time() - due > LATE:
            self._later(origin, [(GONE_AFTER_SILENCE, GONE_AFTER_SILENCE)])
            return
        (passed, _), *rest = steps
        if rest:
            self._later(origin, rest)
        else:
            del self._timers[origin]
            self._silent.discard(origin)
            passed = float("inf")
        self._drop(origin, passed)

    def _cancel(self, origin: bytes) -> None:
        timer = self._timers.pop(origin, None)
        if timer is not None:
            timer.cancel()

    def stop(self) -> None:
        """Stop dropping people."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._silent.clear()
