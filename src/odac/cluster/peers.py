"""Which other processes are there, by what they say and never by anybody's clock but this one's."""

from __future__ import annotations

__all__ = ["Peers"]


class Peers:
    """The processes that were heard of lately.

    Args:
        patience: seconds of silence after which a process counts as gone.
    """

    __slots__ = ("_heard", "_patience")

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._heard: dict[bytes, float] = {}

    def __len__(self) -> int:
        return len(self._heard)

    def __contains__(self, origin: object) -> bool:
        return origin in self._heard

    @property
    def origins(self) -> frozenset[bytes]:
        """Their ids."""
        return frozenset(self._heard)

    def heard(self, origin: bytes, now: float) -> None:
        """A process gave a sign of life."""
        self._heard[origin] = now

    def gone(self, origin: bytes) -> None:
        """A process said goodbye."""
        self._heard.pop(origin, None)

    def expire(self, now: float) -> None:
        """Forget who was silent for too long."""
        for origin in [origin for origin, heard in self._heard.items() if now - heard > self._patience]:
            del self._heard[origin]

    def excuse(self, seconds: float) -> None:
        """Allow for a time during which this process did not listen: nobody's silence during that time counts."""
        for origin in self._heard:
            self._heard[origin] += seconds
