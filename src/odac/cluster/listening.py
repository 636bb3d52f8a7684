"""The room channels that this process is subscribed to."""

from __future__ import annotations

from collections.abc import Callable

from odac.brokers.base import Broker

__all__ = ["Listening"]


class Listening:
    """Subscribes when a room gets its first member here, and unsubscribes some time after its last one has left.

    The subscription stays for at least one whole interval, so that a room whose members leave and join in quick
    succession causes no work for the broker.

    Args:
        broker: subscribes and unsubscribes.
        clock: seconds that never go back.
    """

    __slots__ = ("_broker", "_channels", "_clock", "_emptied", "_empty", "_fresh", "_gone")

    def __init__(self, broker: Broker, clock: Callable[[], float]) -> None:
        self._broker = broker
        self._clock = clock
        self._channels: dict[str, float] = {}  # the time of the subscription; the next one to probe is first
        self._fresh: set[str] = set()
        self._emptied: set[str] = set()  # empty since the last tick
        self._empty: set[str] = set()  # empty for a whole interval
        self._gone: set[str] = set()  # unsubscribed from at the last tick

    def __contains__(self, channel: object) -> bool:
        return channel in self._channels

    def since(self, channel: str) -> float | None:
        """When this process subscribed to the channel, on its own clock; None if it is not subscribed."""
        return self._channels.get(channel)

    def next_to_probe(self) -> str | None:
        """Return the next channel to probe, in turn. Not a new one: a probe could overtake its subscription."""
        channel = next((channel for channel in self._channels if channel not in self._fresh), None)
        if channel is not None:
            self._channels[channel] = self._channels.pop(channel)
        return channel

    def opened(self, channel: str) -> bool:
        """The room has its first member here; return whether the channel was unsubscribed from just before."""
        self._emptied.discard(channel)
        self._empty.discard(channel)
        if channel in self._channels:
            return False
        self._channels[channel] = self._clock()
        self._fresh.add(channel)
        self._broker.subscribe(channel)
        return channel in self._gone

    def closed(self, channel: str) -> None:
        """The last member of the room has left this process."""
        if channel in self._channels:
            self._emptied.add(channel)

    def unsubscribe_empty(self) -> set[str]:
        """Unsubscribe from the channels whose rooms were empty for a whole interval, and return them."""
        gone, self._empty, self._emptied = self._empty, self._emptied, set()
        for channel in gone:
            del self._channels[channel]
            self._broker.unsubscribe(channel)
        self._gone = gone
        return gone

    def settle(self) -> set[str]:
        """Return the channels subscribed to in the last interval; they count as in effect from now on."""
        settled, self._fresh = self._fresh, set()
        return settled
