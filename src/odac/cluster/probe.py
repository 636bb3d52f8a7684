"""Proof that what is published comes back: a subscription can die without a word."""

from __future__ import annotations

__all__ = ["Probe"]


class Probe:
    """Keeps which probes are on their way.

    Attributes:
        proven: since the connection was made, every channel that was probed has answered.
    """

    __slots__ = ("_sent", "proven")

    def __init__(self) -> None:
        self._sent: dict[str, tuple[bytes, float]] = {}
        self.proven = False

    def sent(self, channel: str, payload: bytes, now: float) -> None:
        """A probe went out; it replaces an earlier one on that channel."""
        self._sent[channel] = (payload, now)

    def returned(self, channel: str, payload: bytes) -> bool:
        """Return whether this is the probe that was sent last on the channel."""
        sent = self._sent.get(channel)
        if sent is None or sent[0] != payload:
            return False
        del self._sent[channel]
        if not self._sent:
            self.proven = True
        return True

    def overdue(self, before: float) -> str | None:
        """A channel whose probe went out before that time and has not come back, or None."""
        return next((channel for channel, (_, sent) in self._sent.items() if sent < before), None)

    def forget(self, channel: str) -> None:
        """The channel is listened to no longer; no probe comes back on it."""
        self._sent.pop(channel, None)

    def reset(self) -> None:
        """Nothing is proven, and nothing is waited for."""
        self._sent.clear()
        self.proven = False
