"""The bus of an app that runs in one process."""

from __future__ import annotations

import sys

from odac.cluster.counters import BusCounters
from odac.realtime.no_bus import NoBus

__all__ = ["SoloBus"]


class SoloBus(NoBus):
    """A bus without other processes, with the methods and counters that the app uses."""

    processes = 1
    max_message = sys.maxsize

    def __init__(self) -> None:
        self.counters = BusCounters()

    async def start(self, wait: float = 2.0) -> None:
        """Do nothing: there is nothing to connect to."""

    async def stop(self) -> None:
        """Do nothing: there is nothing to disconnect from."""
