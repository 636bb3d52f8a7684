"""The counters of a bus, for the health endpoint and for metrics."""

from __future__ import annotations

from dataclasses import asdict, dataclass

__all__ = ["BusCounters"]


@dataclass(slots=True)
class BusCounters:
    """Totals since the start of this process; they never decrease.

    Args:
        published: messages handed to the broker.
        received: messages of other processes that were delivered here.
        dropped: messages of this process that were not sent to the broker, because the connection was lost or the queue
            was full.
        lost: messages of other processes that should have arrived here and did not, as a later message or the
            publisher's own count showed. A message to two rooms that this process listens to counts twice.
        late: envelopes that arrived after a newer one of the same publisher and room, and were dropped.
        garbage: payloads that are not messages of this version.
        outages: how often the connection to the broker was lost, including subscriptions that died silently.
    """

    published: int = 0
    received: int = 0
    dropped: int = 0
    lost: int = 0
    late: int = 0
    garbage: int = 0
    outages: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the counters by name."""
        return asdict(self)
