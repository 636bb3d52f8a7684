"""Decodes what other processes publish, assembles pieces, and counts what is missing, late or malformed."""

from __future__ import annotations

from odac.cluster.envelope import Envelope, GarbageError, Piece, decode
from odac.cluster.listening import Listening
from odac.cluster.pieces import Assembly
from odac.cluster.reporter import Reporter
from odac.cluster.sequence import Sequence
from odac.cluster.tails import PendingTails

__all__ = ["Incoming"]

SEQUENCE_AGE = 600.0
"""Seconds, at least, for which a publisher's last number is kept, so that an outage of that length can be counted."""


class Incoming:
    """The payloads of the other processes, from the broker to the bus.

    Args:
        reporter: counts and logs.
        listening: the room channels of this process.
        always: the channels that this process listens to from its start on.
        interval: seconds between two ticks.
        now: the clock at the start.

    Attributes:
        tails: the tails that other processes sent: how far each has counted.
        missed: something was lost since the bus last checked.
    """

    __slots__ = ("_aged", "_always", "_assembly", "_listening", "_reporter", "_sequence", "missed", "tails")

    def __init__(
        self, reporter: Reporter, listening: Listening, always: tuple[str, ...], interval: float, now: float
    ) -> None:
        self._reporter = reporter
        self._listening = listening
        self._always = always
        self._sequence = Sequence()
        self._assembly = Assembly()
        self._aged = now
        self.tails = PendingTails(self._sequence, listening, always, interval)
        self.missed = False

    def receive(self, channel: str, payload: bytes) -> Envelope | None:
        """Return the envelope to handle now; None for an incomplete one, a copy or garbage."""
        try:
            envelope = decode(payload)
            if envelope.number >= 0 and channel not in self._listening and channel not in self._always:
                return None  # sent before the broker had processed this process's unsubscribe
            if envelope.items and isinstance(envelope.items[0], Piece):
                return self._assemble(channel, envelope, envelope.items[0])
        except GarbageError as error:
            self._reporter.garbage(channel, str(error))
            return None
        return envelope if self._accept(channel, envelope) else None

    def resubscribed(self, channel: str) -> None:
        """A new subscription may deliver messages that were sent for an earlier one."""
        self._sequence.resubscribed(channel)

    def settled(self, channel: str) -> None:
        """The new subscription is in effect."""
        self._sequence.settled(channel)

    def forget_channel(self, channel: str) -> None:
        """This process no longer listens to a channel."""
        self._sequence.forget_channel(channel)

    def tick(self, now: float, *, healthy: bool) -> None:
        """Do what is due once per interval."""
        if healthy and now - self._aged > SEQUENCE_AGE:
            self._aged = now
            self._sequence.age()
        before = self._sequence.lost
        self.tails.tick()
        self._report(before)

    def _assemble(self, channel: str, envelope: Envelope, piece: Piece) -> Envelope | None:
        whole = self._assembly.add(channel, envelope.origin, piece)
        if piece.index < piece.count - 1 or not self._accept(channel, envelope):
            return None
        if whole is None:
            before = self._sequence.lost
            self._sequence.lost += 1
            self._report(before)
            self.missed = True
            return None
        return decode(whole)

    def _accept(self, channel: str, envelope: Envelope) -> bool:
        before = self._sequence.lost
        accepted = self._sequence.accept(channel, envelope)
        self._reporter.counters.late = self._sequence.late
        if self._report(before):
            self.missed = True
        return accepted

    def _report(self, before: int) -> int:
        lost = self._sequence.lost - before
        if lost:
            self._reporter.lost(lost)
        return lost
