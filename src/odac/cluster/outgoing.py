"""Packs what a process publishes during one tick of the event loop into few payloads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Final

from odac.brokers.base import MAX_PAYLOAD, Broker
from odac.cluster.channels import Channels
from odac.cluster.envelope import UNNUMBERED, VERSION, Close, Envelope, Item, Move, RoomMessage, Unkept, encode
from odac.cluster.pieces import PIECE_OVERHEAD, pieces_of
from odac.cluster.sequence import Numbers
from odac.realtime.audience import Audience

__all__ = ["OVERHEAD", "Outgoing", "channels_of", "large_payloads", "size_of"]

RUN_ITEMS: Final = 128
RUN_BYTES: Final = 64 * 1024
OVERHEAD: Final = 128
"""The most bytes that an envelope has besides its items."""


def channels_of(channels: Channels, audience: Audience) -> tuple[str, ...]:
    """The channels on which all processes with members of the audience listen."""
    if audience.rooms:
        return tuple(dict.fromkeys([channels.room(room) for room in audience.rooms]))
    if audience.within:
        return (channels.room(audience.within[0]),)
    return (channels.everyone,)


def large_payloads(
    origin: bytes, sequence: int, number: int, item: Item, limit: int, channels: tuple[str, ...]
) -> Iterator[tuple[bytes, bool]]:
    """Return the payloads of one item that is sent in pieces, each with whether it is the last.

    Only the last one is numbered, so that a lost message counts once, however many pieces it had.

    Args:
        origin: the publishing process's random id.
        sequence: the envelope's sequence.
        number: the item's number on the channel.
        item: an item that is larger than the broker's limit.
        limit: the broker's limit in bytes.
        channels: all channels that the item is published on.
    """
    shared = len(channels) > 1
    whole = encode(Envelope(VERSION, origin, sequence, UNNUMBERED, False, [item]))
    for piece in pieces_of(whole, limit - PIECE_OVERHEAD):
        last = piece.index == piece.count - 1
        envelope = Envelope(VERSION, origin, sequence, number if last else UNNUMBERED, shared and last, [piece])
        yield encode(envelope), last


class Outgoing:
    """Collects consecutive items for the same channels into one envelope, until the tick ends or it is large.

    Only consecutive items share an envelope: what a process publishes stays in order across all its channels, so that
    a receiver of two rooms gets a message to both of them in order with the others.

    Args:
        broker: publishes the payloads.
        origin: this process's random id.
        too_large: called with the size of a message that is too large to be sent to other processes, and the limit.
        clock: seconds that never go back.
    """

    __slots__ = (
        "_broker",
        "_bytes",
        "_channels",
        "_clock",
        "_items",
        "_origin",
        "_scheduled",
        "_sequence",
        "_too_large",
        "numbers",
    )

    def __init__(
        self,
        broker: Broker,
        origin: bytes,
        too_large: Callable[[int, int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._origin = origin
        self._too_large = too_large
        self._clock = clock
        self.numbers = Numbers()
        self._sequence = 0
        self._channels: tuple[str, ...] = ()
        self._items: list[Item] = []
        self._bytes = 0
        self._scheduled = False

    def add(self, channels: tuple[str, ...], item: Item) -> None:
        """Publish an item at the end of this tick, numbered on each of its channels."""
        size = size_of(item)
        limit = self._broker.max_message - OVERHEAD
        if size > limit:
            self.flush()
            self._add_large(channels, item, size)
            return
        items = self._items
        full = self._bytes + size > min(RUN_BYTES, limit) or len(items) >= RUN_ITEMS
        if items and (full or channels != self._channels):
            self.flush()
            items = self._items
        if not items:
            self._channels = channels
        items.append(item)
        self._bytes += size
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._tick)

    def _add_large(self, channels: tuple[str, ...], item: Item, size: int) -> None:
        if size > MAX_PAYLOAD - OVERHEAD:
            self._too_large(size, MAX_PAYLOAD)
            return
        self._sequence += 1
        now = self._clock()
        for channel in channels:
            number = self.numbers.take(channel, 1, now)
            payloads = large_payloads(self._origin, self._sequence, number, item, self._broker.max_message, channels)
            for payload, last in payloads:
                self._broker.publish(channel, payload, int(last and channel is channels[0]))

    def now(self, channel: str, *items: Item) -> bytes:
        """Publish items at once, not numbered, and return their payload. Items added before are published first."""
        self.flush()
        payload = self._encode(UNNUMBERED, False, [*items])
        self._broker.publish(channel, payload, 0)
        return payload

    def flush(self) -> None:
        """Pass the collected items to the broker."""
        items = self._items
        if not items:
            return
        channels, self._items, self._bytes = self._channels, [], 0
        shared = len(channels) > 1
        self._sequence += 1
        now = self._clock()
        for channel in channels:
            payload = self._encode(self.numbers.take(channel, len(items), now), shared, items, self._sequence)
            # Each message counts once: the other channels carry copies of it.
            self._broker.publish(channel, payload, len(items) if channel is channels[0] else 0)

    def _tick(self) -> None:
        self._scheduled = False
        self.flush()

    def _encode(self, number: int, shared: bool, items: list[Item], sequence: int = 0) -> bytes:
        return encode(Envelope(VERSION, self._origin, sequence, number, shared, items))


def size_of(item: Item) -> int:
    """The most bytes that an item has on the wire."""
    if isinstance(item, RoomMessage | Unkept | Close | Move):
        rooms, within, excluded = item.audience
        size = 160 + 3 * sum([len(name) + 2 for name in (*rooms, *within, *excluded)])
        if isinstance(item, RoomMessage | Unkept):
            return size + len(item.payload)
        return size + 3 * len(item.reason if isinstance(item, Close) else item.room)
    return 0
