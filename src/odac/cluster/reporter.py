"""Reports what goes wrong with the broker: every event is counted, and logged once per episode."""

from __future__ import annotations

import logging
from typing import Final

from odac.cluster.counters import BusCounters
from odac.notices import counted

__all__ = ["Reporter"]

_log: Final = logging.getLogger("odac.broker")


class _Episode:
    """A run of losses: it begins with the first one, and ends with an interval without any."""

    __slots__ = ("_going_on", "_quiet", "total")

    def __init__(self) -> None:
        self._going_on = False
        self._quiet = True
        self.total = 0

    def add(self, count: int) -> bool:
        """Count losses; return whether they are the first of an episode."""
        first = not self._going_on
        self.total = count if first else self.total + count
        self._going_on, self._quiet = True, False
        return first

    def interval_ended(self) -> bool:
        """Return whether an episode ended with this interval."""
        ended = self._going_on and self._quiet
        if ended:
            self._going_on = False
        self._quiet = True
        return ended


class Reporter:
    """Counts and logs.

    Args:
        address: the broker's, without a password.
    """

    __slots__ = (
        "_address",
        "_dropped",
        "_dropped_before",
        "_garbage_logged",
        "_large_logged",
        "_lost",
        "counters",
        "down_since",
    )

    def __init__(self, address: str) -> None:
        self.counters = BusCounters()
        self.down_since: float | None = None
        self._address = address
        self._dropped = _Episode()
        self._dropped_before = 0
        self._lost = _Episode()
        self._garbage_logged = False
        self._large_logged = False

    def down(self, reason: str, now: float) -> None:
        """The connection to the broker is lost."""
        if self.down_since is not None:
            return
        self.down_since = now
        self._dropped_before = self.counters.dropped
        self.counters.outages += 1
        _log.warning(
            "%s: %s. Connections stay and local delivery goes on; messages for other processes are lost until it is"
            " back",
            self._address,
            reason.rstrip("."),
        )

    def up(self, now: float) -> None:
        """A probe has proven that the connection works."""
        if self.down_since is None:
            return
        _log.warning(
            "%s is back after %.1f s; %s of this process did not reach the others meanwhile",
            self._address,
            now - self.down_since,
            counted(self.counters.dropped - self._dropped_before, "message"),
        )
        self.down_since = None

    def dropped(self, messages: int, reason: str) -> None:
        """Messages of this process did not reach the others."""
        if not messages:
            return
        self.counters.dropped += messages
        if self.down_since is None and self._dropped.add(messages):
            _log.warning("%s: messages of this process do not reach the others: %s", self._address, reason)

    def lost(self, messages: int) -> None:
        """Messages of other processes did not arrive."""
        self.counters.lost += messages
        if self._lost.add(messages):
            _log.warning(
                "%s: %s of another process did not arrive; a process or the broker does not keep up, or was"
                " unreachable",
                self._address,
                counted(messages, "message"),
            )

    def interval_ended(self) -> None:
        """Log the sum of each episode that ended with this interval."""
        if self._dropped.interval_ended():
            _log.warning(
                "%s: sending works again; %s did not reach the other processes",
                self._address,
                counted(self._dropped.total, "message"),
            )
        if self._lost.interval_ended():
            _log.warning(
                "%s: messages of other processes arrive again; %s did not",
                self._address,
                counted(self._lost.total, "message"),
            )

    def garbage(self, channel: str, why: str) -> None:
        """A payload is not a message of this version."""
        self.counters.garbage += 1
        if self._garbage_logged:
            return
        self._garbage_logged = True
        _log.warning(
            "dropped a payload on %s at %s that is not a message (further ones are only counted): %s. Does something"
            " else publish there? ?namespace=… in the broker's URL keeps applications apart",
            channel,
            self._address,
            why,
        )

    def too_large(self, size: int, limit: int) -> None:
        """A message is too large to be sent to other processes."""
        self.counters.dropped += 1
        if self._large_logged:
            return
        self._large_logged = True
        _log.error(
            "a message of %d bytes was not sent to other processes (further ones are only counted): %s: the limit is"
            " %d bytes. Send a link to the content instead",
            size,
            self._address,
            limit,
        )
