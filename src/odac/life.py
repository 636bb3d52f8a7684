"""The start and the stop of an app: the bus between processes, histories and presence, in their order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from importlib import import_module

from odac.cluster.factory import RunningBus, make_bus
from odac.config import Limits
from odac.errors import ConfigurationError
from odac.lanes.takeover import take_over
from odac.notices import limit_hits
from odac.realtime.hub import Hub
from odac.room_rules import RoomRules

__all__ = ["Life"]

logger = logging.getLogger("odac")


class Life:
    """Starts an app on an event loop, and stops it.

    Args:
        hub: the app's connections.
        rules: the rules of its rooms, and the URL of the broker.
        check: checks the configuration before the start.
        limits: the app's.
        takes_over: whether a running uvicorn gets Odac's WebSocket class.

    Attributes:
        loop: the event loop that the app runs on, or None.
        bus: connects to the other processes while the app runs.
    """

    __slots__ = ("_check", "_hub", "_limits", "_rules", "_starting", "_takes_over", "bus", "loop")

    def __init__(
        self,
        *,
        hub: Hub,
        rules: RoomRules,
        check: Callable[[], None],
        limits: Limits,
        takes_over: bool,
    ) -> None:
        self._hub = hub
        self._rules = rules
        self._check = check
        self._limits = limits
        self._takes_over = takes_over
        self._starting: asyncio.Lock | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.bus: RunningBus | None = None

    def runs_here(self) -> bool:
        """Whether the app was started on the running event loop."""
        return self.loop is asyncio.get_running_loop()

    async def start(self) -> None:
        """See :meth:`odac.Odac.startup`."""
        if self.runs_here():
            return
        if self._starting is None or self.loop is not None:
            self._starting = asyncio.Lock()
            self.loop = None
        async with self._starting:
            if self.runs_here():
                return
            self._check()
            loop = asyncio.get_running_loop()
            await self._connect(loop)
            if self._takes_over:
                take_over(self._limits)
            import_module("starlette.responses")  # now, rather than while the first request waits
            self.loop = loop
            self._rules.is_fixed = True

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        history, presence = self._rules.history, self._rules.presence
        self._hub.start(loop)
        bus = self.bus = make_bus(self._rules.broker_url, self._hub, history)
        if self._limits.max_payload > bus.max_message:
            logger.warning(
                "Limits.max_payload allows messages of %d bytes, but only %d bytes can be sent to other processes:"
                " lower it, or send a link to larger contents",
                self._limits.max_payload,
                bus.max_message,
            )
        if presence is not None:
            presence.start(loop, bus.subsystems)
        await bus.start()
        self._hub.connect_bus(bus)
        if history is not None:
            try:
                await history.start()
            except ConfigurationError:
                self.bus = None
                self._hub.connect_bus(None)
                await bus.stop()
                raise

    def drain(self) -> None:
        """See :meth:`odac.Odac.drain`."""
        self._hub.draining = True
        if self.loop is not None:
            self._hub.drain()

    async def stop(self) -> None:
        """See :meth:`odac.Odac.shutdown`."""
        if self.runs_here():
            await self._hub.drain().wait()
        if self._rules.history is not None:
            await self._rules.history.stop()
        if self.bus is not None:
            bus, self.bus = self.bus, None
            self._hub.connect_bus(None)
            if self._rules.presence is not None:
                self._rules.presence.stop()
            await bus.stop()
        self.loop = None
        self._rules.is_fixed = False
        self._hub.ended()

    def figures(self) -> dict[str, int]:
        """See :meth:`odac.Odac.figures`."""
        hub, bus = self._hub, self.bus
        figures = {
            "connections": len(hub.connections),
            "direct_connections": sum(connection.lane.pings for connection in hub.connections.values()),
            "rooms": hub.room_count,
            "healthy": int(not hub.draining and hub.bus.healthy),
        }
        if self.loop is not None:
            figures["overflows"] = hub.delivery.overflows
            figures["dropped_room_messages"] = hub.delivery.dropped_messages
        if bus is not None:
            figures["processes"] = bus.processes
            figures.update({f"broker_{name}": count for name, count in bus.counters.as_dict().items()})
        for subsystem in (self._rules.history, self._rules.presence):
            if subsystem is not None:
                figures.update(subsystem.figures())
        figures.update({f"limit_{name}": count for name, count in limit_hits().items()})
        return figures
