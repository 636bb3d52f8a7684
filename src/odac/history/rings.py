"""Logs in the memory of one process: for ``memory://``, and for the process that holds the local broker's proxy."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import islice
from typing import Final

from odac.config import Limits
from odac.history.rules import History
from odac.history.store import (
    EPOCH_BYTES,
    KEPT_LONGER,
    ORIGIN_AGE,
    ORIGINS,
    REVOCATIONS,
    Appended,
    Entry,
    Slice,
)

__all__ = ["Rings", "RulesText"]

MAX_BYTES: Final = Limits().history_bytes
"""Bytes of all logs together, unless an app sets another limit."""
ENTRY_COST: Final = 200
LOG_COST: Final = 1024
"""Bytes of a log besides its bodies, rounded up."""

_NOTHING: Final = Slice(None, 0, 0)


class _Log:
    __slots__ = ("entries", "epoch", "kept_until", "origins", "revoked", "size", "top")

    def __init__(self, epoch: bytes) -> None:
        self.epoch = epoch
        self.top = 0
        self.entries: deque[Entry] = deque()
        self.size = LOG_COST
        self.kept_until = 0.0
        self.origins: dict[bytes, tuple[int, float]] = {}
        self.revoked: dict[str, int] = {}


class Rings:
    """The logs by channel. Every call returns at once; the owner ensures that one thread calls at a time.

    Args:
        clock: seconds since 1970.
        max_bytes: the limit for all logs together. Above it, the log whose last append is oldest is dropped with its
            epoch.

    Attributes:
        max_bytes: as above; may be changed.
        size: bytes of all logs together.
        evicted: the number of logs that were dropped because of the limit.
        on_lost: called with the channel of each log that is dropped, unless the app has erased it.
    """

    def __init__(self, clock: Callable[[], float], max_bytes: int = MAX_BYTES) -> None:
        self._clock = clock
        self.max_bytes = max_bytes
        self._logs: OrderedDict[str, _Log] = OrderedDict()
        self.size = 0
        self.evicted = 0
        self.on_lost: Callable[[str], object] | None = None

    def __len__(self) -> int:
        return len(self._logs)

    def now(self) -> float:
        """Seconds since 1970, by the clock of these logs."""
        return self._clock()

    def append(
        self, channel: str, history: History, origin: bytes, first: int, bodies: list[bytes], epoch: bytes
    ) -> tuple[Appended, list[Entry]]:
        """See :meth:`HistoryStore.append`; returns the entries that are new as well."""
        now = self._clock()
        log = self._living(channel, now)
        if log is None:
            log = self._logs[channel] = _Log(epoch)
            self.size += log.size
        last = log.origins.get(origin, (first - 1, 0.0))[0]
        new: list[Entry] = []
        for body in bodies[max(0, last + 1 - first) :]:
            log.top += 1
            entry = Entry(log.top, int(now * 1000), body)
            new.append(entry)
            log.entries.append(entry)
            self._grow(log, len(body) + ENTRY_COST)
        if new:
            if origin not in log.origins:
                _forget_origins(log, now)
            log.origins[origin] = (first + len(bodies) - 1, now)
            log.kept_until = now + history.ttl + KEPT_LONGER
            self._logs.move_to_end(channel)
            self._trim(log, history, now)
            self._make_room(channel)
        return Appended(log.epoch, log.top), new

    def read(self, channel: str, history: History, after: int, limit: int) -> Slice:
        """See :meth:`HistoryStore.read`."""
        now = self._clock()
        log = self._living(channel, now)
        if log is None:
            return _NOTHING
        self._trim(log, history, now)
        base = log.top - len(log.entries)
        if after < 0:
            after = log.top + after
        start = max(after, base) - base
        entries = tuple(islice(log.entries, start, min(len(log.entries), start + max(0, limit))))
        return Slice(log.epoch, log.top, base, entries, log.revoked)

    def erase(self, channel: str) -> None:
        """See :meth:`HistoryStore.erase`."""
        self._drop(channel)

    def revoke(self, channel: str, user: str) -> Slice:
        """See :meth:`HistoryStore.revoke`; returns the state of the log, with zeros as its epoch if it is erased."""
        log = self._living(channel, self._clock())
        if log is None:
            return _NOTHING
        if user not in log.revoked and len(log.revoked) >= REVOCATIONS:
            self._lose(channel)
            return Slice(bytes(EPOCH_BYTES), 0, 0)
        log.revoked = {**log.revoked, user: log.revoked.get(user, 0) + 1}  # a new dict, because readers use the old one
        return Slice(log.epoch, log.top, log.top)

    def expire(self) -> None:
        """Forget the logs without an append for longer than they are kept; to be called regularly."""
        now = self._clock()
        for channel in [channel for channel, log in self._logs.items() if log.kept_until <= now]:
            self._lose(channel)

    def _living(self, channel: str, now: float) -> _Log | None:
        log = self._logs.get(channel)
        if log is not None and log.kept_until <= now and log.top:
            self._lose(channel)
            return None
        return log

    def _grow(self, log: _Log, size: int) -> None:
        log.size += size
        self.size += size

    def _trim(self, log: _Log, history: History, now: float) -> None:
        entries = log.entries
        oldest = (now - history.ttl) * 1000
        while entries and (
            len(entries) > history.size
            or entries[0].time <= oldest
            or (len(entries) > 1 and log.size - LOG_COST - ENTRY_COST * len(entries) > history.max_bytes)
        ):
            self._grow(log, -len(entries.popleft().body) - ENTRY_COST)

    def _make_room(self, channel: str) -> None:
        while self.size > self.max_bytes:
            oldest = next(iter(self._logs))
            if oldest == channel and len(self._logs) == 1:
                break  # a single log is bounded by History.max_bytes
            self._lose(oldest)
            self.evicted += 1

    def _lose(self, channel: str) -> None:
        self._drop(channel)
        if self.on_lost is not None:
            self.on_lost(channel)

    def _drop(self, channel: str) -> None:
        log = self._logs.pop(channel, None)
        if log is not None:
            self.size -= log.size


class RulesText:
    """The rules of an app, which expire as in a broker.

    Args:
        clock: seconds since 1970.
    """

    __slots__ = ("_clock", "_kept_until", "_text", "_version")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._version = 0
        self._text = b""
        self._kept_until = 0.0

    def read(self, keep: float = 0.0) -> tuple[int, bytes]:
        """See :meth:`HistoryStore.rules`."""
        now = self._clock()
        if self._version and now >= self._kept_until:
            self._version, self._text = 0, b""
        if keep:
            self._kept_until = now + keep
        return self._version, self._text

    def write(self, version: int, text: bytes, keep: float) -> bool:
        """See :meth:`HistoryStore.write_rules`."""
        if version <= self.read()[0]:
            return False
        self._version, self._text, self._kept_until = version, text, self._clock() + keep
        return True


def _forget_origins(log: _Log, now: float) -> None:
    if len(log.origins) > ORIGINS:
        for origin in [origin for origin, (_, then) in log.origins.items() if now - then > ORIGIN_AGE]:
            del log.origins[origin]
