"""Appends this process's messages to rooms with history: in order, each once, until the store has confirmed them."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from odac.config import Limits
from odac.errors import BrokerError
from odac.history.rules import History
from odac.history.store import EPOCH_BYTES, Appended, HistoryStore, StoreAway
from odac.jitter import RANDOM
from odac.realtime.receipts import KeptSend

_log = logging.getLogger("odac")

__all__ = ["Appender"]

ANSWER_TIMEOUT: Final = 5.0
FIRST_DELAY: Final = 0.05
LONGEST_DELAY: Final = 1.0
COST: Final = 256
"""Bytes of memory that a queued message takes besides its payload."""


class _Waiting:
    __slots__ = ("body", "receipt", "since")

    def __init__(self, body: bytes, receipt: KeptSend, since: float) -> None:
        self.body = body
        self.receipt = receipt
        self.since = since


class _Line:
    """The queue of one room, in order: messages, and calls to make after the messages before them."""

    __slots__ = ("history", "is_calling", "items", "task")

    def __init__(self, history: History) -> None:
        self.history = history
        self.items: deque[_Waiting | Callable[[], object]] = deque()
        self.is_calling = False
        self.task: asyncio.Task[None] | None = None


class Appender:
    """Sends to the store, for each room one batch at a time.

    Args:
        store: keeps the logs.
        origin: this process's random id.
        limits: bound the queued bytes, and the time in the queue.
        confirmed: called with the channel and the confirmation of a batch; awaited before the next batch or call.
        failed: called with the error, and the number of failed messages whose result no caller awaits.
    """

    def __init__(
        self,
        store: HistoryStore,
        origin: bytes,
        limits: Limits,
        confirmed: Callable[[str, Appended], Awaitable[None]],
        failed: Callable[[BrokerError, int], None],
    ) -> None:
        self._store = store
        self._origin = origin
        self._limits = limits
        self._confirmed = confirmed
        self._failed = failed
        self._lines: dict[str, _Line] = {}
        self._bytes = 0
        self._next = 1

    def __len__(self) -> int:
        return sum(len(line.items) for line in self._lines.values())

    @property
    def waiting_bytes(self) -> int:
        """Queued bytes."""
        return self._bytes

    def add(self, channel: str, history: History, body: bytes, receipt: KeptSend) -> None:
        """Append a message; its receipt gets the result."""
        loop = asyncio.get_running_loop()
        size = len(body) + COST
        if self._bytes + size > self._limits.history_queue_bytes:
            self._fail(
                [_Waiting(body, receipt, 0.0)],
                BrokerError(
                    f"{self._bytes} bytes are queued for the broker, which does not keep up or is unreachable"
                    " (Limits.history_queue_bytes)"
                ),
            )
            return
        line = self._lines.get(channel)
        if line is None:
            line = self._lines[channel] = _Line(history)
        self._bytes += size
        line.items.append(_Waiting(body, receipt, loop.time()))
        if line.task is None:
            line.task = loop.create_task(self._run(channel, line), name="odac: history append")

    def behind(self, channel: str, call: Callable[[], object]) -> bool:
        """Make a call once the messages now queued for a room are stored; return False if there are none."""
        line = self._lines.get(channel)
        if line is None or line.is_calling:  # a call that is running has left the queue
            return False
        line.items.append(call)
        return True

    async def stop(self, timeout: float) -> None:  # noqa: ASYNC109 - who stops says how long
        """Send the queued messages, for at most ``timeout`` seconds; the rest fails."""
        tasks = [line.task for line in self._lines.values() if line.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)
        for line in tuple(self._lines.values()):
            if line.task is not None and not line.task.done():
                line.task.cancel()
                await asyncio.wait([line.task])
            self._fail([item for item in line.items if isinstance(item, _Waiting)], BrokerError("the app has stopped"))
        self._lines.clear()
        self._bytes = 0

    async def _run(self, channel: str, line: _Line) -> None:
        try:
            while line.items:
                batch = self._take(line)
                if batch:
                    try:
                        await self._append(channel, line.history, batch)
                    finally:
                        self._bytes -= sum([len(each.body) + COST for each in batch])
                while line.items and not isinstance(line.items[0], _Waiting):
                    call: Any = line.items.popleft()
                    line.is_calling = True
                    try:
                        call()
                    except Exception:
                        _log.exception("a call after a send to a room with history failed")
                    finally:
                        line.is_calling = False
        finally:
            line.task = None
            if self._lines.get(channel) is line and not line.items:
                del self._lines[channel]

    def _take(self, line: _Line) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while line.items and len(batch) < self._limits.history_batch:
            first = line.items[0]
            if not isinstance(first, _Waiting) or (batch and size + len(first.body) > self._limits.history_batch_bytes):
                break
            size += len(first.body)
            batch.append(first)
            line.items.popleft()
        return batch

    async def _append(self, channel: str, history: History, batch: list[_Waiting]) -> None:
        """Append a batch, and retry with the same numbers until it is confirmed or has waited for too long."""
        loop = asyncio.get_running_loop()
        first, self._next = self._next, self._next + len(batch)
        bodies = [each.body for each in batch]
        delay = FIRST_DELAY
        while True:
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT):
                    # Each attempt draws an epoch in case it begins a log. If an earlier attempt whose answer was lost
                    # has begun the log, that one's epoch stays.
                    done = await self._store.append(
                        channel, history, self._origin, first, bodies, secrets.token_bytes(EPOCH_BYTES)
                    )
                break
            except (StoreAway, TimeoutError) as error:
                if loop.time() - batch[0].since > self._limits.history_queue_time:
                    reason = str(error) or "no answer"
                    self._fail(batch, BrokerError(f"{reason}; it is unknown whether the message was stored"))
                    return
            except BrokerError as error:
                self._fail(batch, error)
                return
            except asyncio.CancelledError:
                self._fail(batch, BrokerError("the app has stopped; it is unknown whether the message was stored"))
                raise
            except Exception as error:
                # The callers wait for these messages: a defect of a store or of its library must not leave them so.
                _log.exception("appending to a room's history failed")
                self._fail(batch, BrokerError(f"{error!r}; it is unknown whether the message was stored"))
                return
            await asyncio.sleep(delay * RANDOM.uniform(0.5, 1))
            delay = min(2 * delay, LONGEST_DELAY)
        for each in batch:
            each.receipt.confirmed()
        try:
            await self._confirmed(channel, done)
        except Exception:
            _log.exception("following a confirmed send to a room with history failed; the queue goes on")

    def _fail(self, batch: list[_Waiting], error: BrokerError) -> None:
        for each in batch:
            each.receipt.failed(error)
        unheard = sum(not each.receipt.awaited for each in batch)
        self._failed(error, unheard)
