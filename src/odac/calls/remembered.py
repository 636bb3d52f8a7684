"""The outcomes of calls by clients with ``retry``, so that a call that is resent is answered and not executed again.

The rule: a resent call is executed only if it is certain that it was not executed before. This process can be certain
about a call that was first sent to it, as long as it has dropped no record that could be that call's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Record", "Remembered"]

MARGIN: Final = 1.0
"""Seconds that are added to the age that a client states for its call, because it may be inaccurate."""

LONGER: Final = 30.0
"""Seconds that an outcome is kept beyond the window, for a retry that arrives late."""

RECORD_COST: Final = 512
CLIENT_COST: Final = 512
"""Bytes that are counted for a record and for a client, in addition to the outcomes."""


class Record:
    """One call of one client.

    Attributes:
        outcome: the message that answered it; None while it runs.
        running: the call, while it runs; its answer is sent over the connection on which the call arrived last.
    """

    __slots__ = ("_client", "arrived", "id", "outcome", "running")

    def __init__(self, client: _Client, id_: int, arrived: float) -> None:
        self._client = client
        self.id = id_
        self.arrived = arrived
        self.outcome: bytes | None = None
        self.running: Any = None

    @property
    def client(self) -> _Client:
        """The client that sent the call."""
        return self._client


class _Client:
    __slots__ = ("forgotten", "last", "name", "records", "unfinished")

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.records: OrderedDict[int, Record] = OrderedDict()
        self.forgotten = float("-inf")  # the arrival of the latest call whose outcome was dropped for space
        self.last = now
        self.unfinished = 0


class Remembered:
    """The outcomes that one process stores.

    Args:
        time: returns the seconds of a clock that never goes back.
        window: seconds for which an outcome is stored.
        per_client: the most outcomes of one client.
        max_bytes: the most bytes of all outcomes together.
    """

    def __init__(self, time: Callable[[], float], window: float, per_client: int, max_bytes: int) -> None:
        self._time = time
        self._window = window
        self._per_client = per_client
        self._max_bytes = max_bytes
        self._clients: OrderedDict[str, _Client] = OrderedDict()  # by their last call
        self._records: OrderedDict[Record, None] = OrderedDict()  # by their arrival
        self._forgotten = float("-inf")
        self.size = 0

    def find(self, client: str, id_: int) -> Record | None:
        """The record of a call, or None."""
        self._expire()
        known = self._clients.get(client)
        return known.records.get(id_) if known is not None else None

    def may_have_run(self, client: str, age: float) -> bool:
        """Whether a call without a record may nevertheless have been executed here.

        Args:
            client: the client that sent it.
            age: seconds since it was first sent, including its latency; rounded up.
        """
        now = self._time()
        if age >= self._window:
            return True
        known = self._clients.get(client)
        latest = max(self._forgotten, known.forgotten if known is not None else self._forgotten)
        return now - age <= latest

    def unfinished(self, client: str) -> int:
        """How many calls of a client run."""
        known = self._clients.get(client)
        return known.unfinished if known is not None else 0

    def begin(self, client: str, id_: int) -> Record:
        """Make the record of a call that has arrived for the first time."""
        now = self._time()
        known = self._clients.get(client)
        if known is None:
            known = self._clients[client] = _Client(client, now)
            self.size += CLIENT_COST
        else:
            self._clients.move_to_end(client)
        known.last = now
        record = known.records[id_] = Record(known, id_, now)
        self._records[record] = None
        known.unfinished += 1
        self.size += RECORD_COST
        if len(known.records) > self._per_client:
            oldest = next((kept for kept in known.records.values() if kept.outcome is not None), None)
            if oldest is not None:
                known.forgotten = max(known.forgotten, oldest.arrived)
                self.forget(oldest)
        self._make_room()
        return record

    def finish(self, record: Record, outcome: bytes) -> None:
        """A call has been answered."""
        record.running = None
        if record not in self._records:
            return
        record.outcome = outcome
        record.client.unfinished -= 1
        self.size += len(outcome)
        self._make_room()

    def forget(self, record: Record) -> None:
        """Drop a record: of a call whose function was not called, or to free memory."""
        if record in self._records:
            del self._records[record]
            del record.client.records[record.id]
            self.size -= RECORD_COST
            if record.outcome is None:
                record.client.unfinished -= 1
            else:
                self.size -= len(record.outcome)

    def _expire(self) -> None:
        """Drop what is older than the window: a later retry carries its age and is refused as too old."""
        before = self._time() - self._window - LONGER
        while self._records and (oldest := next(iter(self._records))).arrived < before:
            if oldest.outcome is None:
                # It is still running: keep its record, so that it is not executed twice.
                oldest.arrived = self._time()
                self._records.move_to_end(oldest)
                continue
            self.forget(oldest)
        while self._clients and (idle := next(iter(self._clients.values()))).last < before and not idle.records:
            del self._clients[idle.name]
            self.size -= CLIENT_COST

    def _make_room(self) -> None:
        if self.size <= self._max_bytes:
            return
        self._expire()
        while self.size > self._max_bytes:
            record = next((kept for kept in self._records if kept.outcome is not None), None)
            if record is None:
                break
            self._forgotten = max(self._forgotten, record.arrived)
            self.forget(record)
        while self.size > self._max_bytes:
            client = next((idle for idle in self._clients.values() if not idle.records), None)
            if client is None:
                break
            self._forgotten = max(self._forgotten, client.forgotten)
            del self._clients[client.name]
            self.size -= CLIENT_COST
