"""Probes, which prove that subscriptions work: one can stop delivering without an error."""

from __future__ import annotations

__all__ = ["Probe"]


class Probe:
    """The probes that have not come back yet.

    Args:
        common: the channels of all processes.
        now: the clock.

    Attributes:
        proven: since the connection was opened, a probe has come back on every channel that was probed.
    """

    __slots__ = ("_proven_at", "_sent", "proven")

    def __init__(self, common: tuple[str, ...], now: float) -> None:
        self._sent: dict[str, tuple[bytes, float]] = {}
        self._proven_at = dict.fromkeys(common, now)
        self.proven = False

    @property
    def proven_at(self) -> float:
        """When both common channels were last proven to work, or the clock at the start."""
        return min(self._proven_at.values())

    def sent(self, channel: str, payload: bytes, now: float) -> None:
        """A probe was sent; it replaces an earlier one on that channel."""
        self._sent[channel] = (payload, now)

    def returned(self, channel: str, payload: bytes, now: float) -> bool:
        """A probe has come back; return whether it is the latest one on the channel."""
        sent = self._sent.get(channel)
        if sent is None or sent[0] != payload:
            return False
        del self._sent[channel]
        if channel in self._proven_at:
            self._proven_at[channel] = now
        if not self._sent:
            self.proven = True
        return True

    def overdue(self, before: float) -> str | None:
        """A channel whose probe was sent before that time and has not come back, or None."""
        return next((channel for channel, (_, sent) in self._sent.items() if sent < before), None)

    def forget(self, channel: str) -> None:
        """This process no longer listens to the channel; no probe comes back on it."""
        self._sent.pop(channel, None)

    def reset(self) -> None:
        """The connection is a new one: nothing is proven, and no probe is pending."""
        self._sent.clear()
        self.proven = False
