"""Makes the bus for a broker's URL."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from odac.brokers.registry import make_broker
from odac.brokers.url import parse_url
from odac.cluster.counters import BusCounters
from odac.cluster.solo import SoloBus
from odac.realtime.ports import Bus, LocalHub, LogListener

__all__ = ["RunningBus", "make_bus"]


@runtime_checkable
class RunningBus(Bus, Protocol):
    """A bus as the app uses it: it can be started and stopped, and has counters."""

    @property
    def counters(self) -> BusCounters:
        """What was published, received and lost."""
        ...

    @property
    def max_message(self) -> int:
        """Bytes of the largest message that is sent to the other processes."""
        ...

    @property
    def processes(self) -> int:
        """How many processes are known to be running, this one included."""
        ...

    async def start(self, wait: float = 2.0) -> None:
        """Connect, and wait for the connection for ``wait`` seconds at most.

        Raises:
            ConfigurationError: no server could accept this configuration; the message names the fix.
        """
        ...

    async def stop(self) -> None:
        """Tell the other processes that this one stops, and disconnect."""
        ...


def make_bus(url: str, hub: LocalHub, log: LogListener | None = None) -> RunningBus:
    """Return the bus for a URL, to be started on the event loop that the hub runs on.

    Args:
        url: of the broker.
        hub: this process's connections.
        log: gets what the stores of rooms with history publish.

    Raises:
        ConfigurationError: the URL is of no supported scheme, is malformed, or its client library is not installed.
    """
    parsed = parse_url(url)
    if parsed.address == "memory://":
        return SoloBus()
    # Imported here, so that an app that runs in one process starts without these modules.
    from odac.cluster.bus import BrokerBus
    from odac.cluster.channels import Channels

    return BrokerBus(make_broker(url), hub, Channels(parsed.namespace), log=log)
