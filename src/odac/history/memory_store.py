"""The history store of one process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from odac.history.rings import Rings, RulesText
from odac.history.rules import History
from odac.history.store import Appended, Entry, Slice, StoreAway, encode_entries, encode_notice

__all__ = ["MemoryStore", "Shared", "shared_rings"]

Publish = Callable[[str, bytes], None]


class Shared:
    """The logs and rules that all stores of one name share, with the lock that orders their appends."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.rings = Rings(clock)
        self.lock = threading.Lock()
        self.rules = RulesText(clock)


_shared: Final[dict[str, Shared]] = {}


def shared_rings(name: str) -> Shared:
    """The logs and rules shared by the apps of one process that use the same name."""
    return _shared.setdefault(name, Shared(time.time))


class MemoryStore:
    """Implements :class:`odac.history.store.HistoryStore`, with further methods that need not be awaited.

    Args:
        shared: the logs.
        publish: passes a payload to the listeners of a channel; None without other processes.
        away: returns whether a test has disconnected the broker.
    """

    def __init__(
        self, shared: Shared, publish: Publish | None = None, away: Callable[[], bool] = lambda: False
    ) -> None:
        self._shared = shared
        self._publish = publish
        self._away = away

    @property
    def rings(self) -> Rings:
        """The logs."""
        return self._shared.rings

    @property
    def is_alone(self) -> bool:
        """Whether no other app can reach the logs, so that calls need not be awaited."""
        return self._publish is None

    def append_now(
        self, channel: str, history: History, origin: bytes, first: int, bodies: list[bytes], epoch: bytes
    ) -> tuple[Appended, list[Entry]]:
        """Append; return the new entries as well."""
        with self._shared.lock:
            done, new = self._shared.rings.append(channel, history, origin, first, bodies, epoch)
            if new and self._publish is not None:
                self._publish(channel, encode_entries(done.epoch, new))
            return done, new

    def read_now(self, channel: str, history: History, after: int, limit: int) -> Slice:
        """Read."""
        with self._shared.lock:
            return self._shared.rings.read(channel, history, after, limit)

    # HistoryStore

    async def start(self, wait: float = 2.0) -> None:
        """Do nothing: there is nothing to connect to."""

    async def stop(self) -> None:
        """Do nothing: there is nothing to disconnect."""

    async def append(
        self, channel: str, history: History, origin: bytes, first: int, bodies: list[bytes], epoch: bytes
    ) -> Appended:
        """See :class:`odac.history.store.HistoryStore`."""
        self._reach()
        return self.append_now(channel, history, origin, first, bodies, epoch)[0]

    async def read(self, channel: str, history: History, after: int, limit: int) -> Slice:
        """See :class:`odac.history.store.HistoryStore`."""
        self._reach()
        return self.read_now(channel, history, after, limit)

    async def erase(self, channel: str) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        self._reach()
        with self._shared.lock:
            self._shared.rings.erase(channel)
            if self._publish is not None:
                self._publish(channel, encode_notice(bytes(16), 0))

    async def revoke(self, channel: str, user: str) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        self._reach()
        with self._shared.lock:
            found = self._shared.rings.revoke(channel, user)
            if self._publish is not None and found.epoch is not None:
                self._publish(channel, encode_notice(found.epoch, found.top, changed=True))

    async def publish(self, channel: str, payload: bytes) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        self._reach()
        if self._publish is not None:
            with self._shared.lock:
                self._publish(channel, payload)

    async def rules(self, keep: float = 0.0) -> tuple[int, bytes]:
        """See :class:`odac.history.store.HistoryStore`."""
        self._reach()
        with self._shared.lock:
            return self._shared.rules.read(keep)

    async def write_rules(self, version: int, text: bytes, keep: float) -> bool:
        """See :class:`odac.history.store.HistoryStore`."""
        self._reach()
        with self._shared.lock:
            return self._shared.rules.write(version, text, keep)

    def _reach(self) -> None:
        if self._away():
            raise StoreAway("the test has disconnected the broker")
