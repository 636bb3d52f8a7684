"""What waits to be sent to a broker: bounded, and nothing leaves it uncounted."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, NamedTuple

__all__ = ["MAX_BYTES", "MAX_PAYLOADS", "Queue", "Queued"]

MAX_BYTES: Final = 16 * 1024 * 1024
"""A second of a 100 Mbit/s link, and some: a broker that is further behind does not catch up by waiting longer."""
MAX_PAYLOADS: Final = 65_536
MAX_UNCONFIRMED: Final = 4096
MAX_UNCONFIRMED_BYTES: Final = 4 * 1024 * 1024
"""What a client library may hold, besides: some of them have no bound of their own."""
TAKE_PAYLOADS: Final = 512
TAKE_BYTES: Final = 512 * 1024


class Queued(NamedTuple):
    """One payload.

    Args:
        channel: where to.
        payload: what.
        messages: how many messages are lost with it.
    """

    channel: str
    payload: bytes
    messages: int


class Queue:
    """First in, first out; what was taken stays counted until the broker has confirmed it.

    Past its bounds the newest is refused, so that what a room has got stays without gaps for as long as possible.

    Attributes:
        hurry: set when somebody waits for a confirmation.
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

    def put(self, channel: str, payload: bytes, messages: int) -> bool:
        """Append a payload; return False if there is no room for it."""
        size = self._bytes + len(payload)
        if size > MAX_BYTES or len(self._waiting) >= MAX_PAYLOADS:
            return False
        self._bytes = size
        self._put += 1
        self._waiting.append(Queued(channel, payload, messages))
        self._ready.set()
        return True

    async def take(self) -> list[Queued]:
        """Wait until there is something, and for the broker to confirm enough of what went before; return a good deal of it."""
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

    @property
    def oldest(self) -> Queued:
        """The payload that the broker confirms or refuses next."""
        return self._unconfirmed[0]

    def confirm(self, count: int = 1) -> None:
        """The broker has got the first ``count`` payloads that are not confirmed."""
        for _ in range(count):
            self._unconfirmed_bytes -= len(self._unconfirmed.popleft().payload)
        self._confirmed += count
        self._room.set()
        while self._watchers and self._watchers[0][0] <= self._confirmed:
            _, future = self._watchers.popleft()
            if not future.done():
                future.set_result(None)

    async def confirmed(self) -> None:
        """Wait until everything put so far is confirmed.

        Raises:
            ConnectionError: some of it was lost.
        """
        if self._confirmed < self._put:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._watchers.append((self._put, future))
            self.hurry.set()
            await future

    def clear(self, reason: str) -> int:
        """The connection is gone: forget everything and return how many messages that were."""
        messages = sum(queued.messages for queued in self._waiting) + sum(
            queued.messages for queued in self._unconfirmed
        )
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
