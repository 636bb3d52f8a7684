"""The queue of payloads for a broker: bounded, and every payload that it drops is counted."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, NamedTuple

__all__ = ["MAX_BYTES", "MAX_PAYLOADS", "Queue", "Queued"]

MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes: a little over a second of a 100 Mbit/s link. A larger backlog would not be worked off either."""
MAX_PAYLOADS: Final = 65_536
MAX_UNCONFIRMED: Final = 4096
MAX_UNCONFIRMED_BYTES: Final = 4 * 1024 * 1024
"""Bytes passed to the client library and not confirmed yet, at most: some libraries have no limit of their own."""
TAKE_PAYLOADS: Final = 512
TAKE_BYTES: Final = 512 * 1024


class Queued(NamedTuple):
    """One payload.

    Args:
        channel: where it is published.
        payload: the bytes.
        messages: how many messages are lost if it is lost.
        done: gets the result: None once it is confirmed, else the error. None if the caller does not await it.
    """

    channel: str
    payload: bytes
    messages: int
    done: asyncio.Future[None] | None = None


class Queue:
    """First in, first out; a payload that was taken stays counted until the broker has confirmed it.

    A full queue refuses the newest payload, so that everything before it arrives without a gap.

    Attributes:
        hurry: set when a caller awaits a confirmation.
    """

    __slots__ = (
        "_bytes",
        "_confirmed",
        "_put",
        "_ready",
        "_room",
        "_unconfirmed",
        "_unconfirmed_bytes",
        "_waiting",
        "_watchers",
        "hurry",
    )

    def __init__(self) -> None:
        self._waiting: deque[Queued] = deque()
        self._bytes = 0
        self._unconfirmed: deque[Queued] = deque()
        self._unconfirmed_bytes = 0
        self.hurry = asyncio.Event()
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._put = 0
        self._confirmed = 0
        self._watchers: deque[tuple[int, asyncio.Future[None]]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, channel: str, payload: bytes, messages: int, done: asyncio.Future[None] | None = None) -> bool:
        """Append a payload; return False if the queue is full."""
        size = self._bytes + len(payload)
        if size > MAX_BYTES or len(self._waiting) >= MAX_PAYLOADS:
            return False
        self._bytes = size
        self._put += 1
        self._waiting.append(Queued(channel, payload, messages, done))
        self._ready.set()
        if done is not None:
            self.hurry.set()
        return True

    async def take(self) -> list[Queued]:
        """Wait until there is a payload and the broker has confirmed enough earlier ones; return the next few."""
        while not self._waiting or self._full:
            if self._waiting:
                self.hurry.set()
            event = self._room if self._waiting else self._ready
            event.clear()
            await event.wait()
        taken: list[Queued] = []
        size = 0
        while self._waiting and len(taken) < TAKE_PAYLOADS and size < TAKE_BYTES:
            queued = self._waiting.popleft()
            size += len(queued.payload)
            taken.append(queued)
        self._bytes -= size
        self._unconfirmed_bytes += size
        self._unconfirmed.extend(taken)
        return taken

    @property
    def _full(self) -> bool:
        return len(self._unconfirmed) >= MAX_UNCONFIRMED or self._unconfirmed_bytes >= MAX_UNCONFIRMED_BYTES

    def confirm(self, count: int = 1) -> None:
        """The broker has confirmed the oldest ``count`` unconfirmed payloads."""
        for _ in range(count):
            queued = self._unconfirmed.popleft()
            self._unconfirmed_bytes -= len(queued.payload)
            if queued.done is not None and not queued.done.done():
                queued.done.set_result(None)
        self._confirmed_more(count)

    def refuse(self, error: Exception) -> Queued:
        """The broker has refused the oldest unconfirmed payload; return it."""
        queued = self._unconfirmed.popleft()
        self._unconfirmed_bytes -= len(queued.payload)
        _fail(queued, str(error))
        self._confirmed_more(1)
        return queued

    def refuse_channel(self, channel: str, reason: str) -> None:
        """The broker has refused an unknown payload on a channel: fail all unconfirmed ones on it."""
        for queued in self._unconfirmed:
            if queued.channel == channel:
                _fail(queued, reason)

    def _confirmed_more(self, count: int) -> None:
        self._confirmed += count
        self._room.set()
        while self._watchers and self._watchers[0][0] <= self._confirmed:
            _, future = self._watchers.popleft()
            if not future.done():
                future.set_result(None)

    async def confirmed(self) -> None:
        """Wait until every payload queued so far is confirmed or refused.

        Raises:
            ConnectionError: some of it was lost.
        """
        if self._confirmed < self._put:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._watchers.append((self._put, future))
            self.hurry.set()
            await future

    def clear(self, reason: str) -> int:
        """The connection is lost: drop everything, and return the number of dropped messages."""
        messages = sum(queued.messages for queued in self._waiting) + sum(
            queued.messages for queued in self._unconfirmed
        )
        for queued in (*self._unconfirmed, *self._waiting):
            _fail(queued, reason)
        self._waiting.clear()
        self._unconfirmed.clear()
        self._bytes = self._unconfirmed_bytes = 0
        self._confirmed = self._put
        self._room.set()
        while self._watchers:
            _, future = self._watchers.popleft()
            if not future.done():
                future.set_exception(ConnectionError(reason))
        return messages


def _fail(queued: Queued, reason: str) -> None:
    if queued.done is not None and not queued.done.done():
        queued.done.set_exception(ConnectionError(reason))
