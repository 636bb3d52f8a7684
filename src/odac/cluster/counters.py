"""What a bus counts, for the health endpoint and for metrics."""

from __future__ import annotations

from dataclasses import asdict, dataclass

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """Counted since the start of this process; only ever growing.

    Args:
        published: messages handed to the broker.
        received: messages of other processes that were delivered here.
        dropped: messages of this process that the broker did not get, because it was away or its queue was full.
        lost: messages of other processes that should have arrived here and did not, as far as later ones showed it. Counted
            per channel: a message to two rooms that are both listened to here counts twice when it is lost.
        late: envelopes that arrived after a newer one of the same publisher and room, and were not delivered.
        garbage: payloads that no process of this version can have published.
        outages: times that the way to the other processes was lost, a subscription that died silently included.
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
