"""Keeps Python's garbage collector from going through live connections.

A full collection goes through every object that the collector tracks, and its pause grows with them. The event loop
refers to each transport that it reads from, and so to its connection: while that is open, none of its parts can be
garbage. So they are untracked when the transport is the connection's, and tracked again when the transport has ended;
then a cycle that the application has made with the connection is collected like any other. What a connection refers to
counts as in use while it is untracked. What belongs to the application, such as its listeners, stays tracked.

``odac run`` switches this on in each process, and off when its server stops, because a transport that is dropped
without its end would never be freed. Only the compiled part can do it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from odac.speedups import COMPILED, compiled

if TYPE_CHECKING:
    from odac.realtime.connection import Connection

__all__ = ["Collector", "collector", "reference_track", "track", "untrack"]


def reference_track(_transport: object, *_objects: object) -> None:
    """Do nothing: Python has no such call."""


track = compiled("track", reference_track)
untrack = compiled("untrack", reference_track)


class Collector:
    """Leaves live connections out of garbage collections, once a server asks for it.

    Attributes:
        spares: whether a connection that opens now is left out.
        has_spared: whether one may have been left out; it may be of another server than one that has stopped.
    """

    __slots__ = ("_servers", "_transports", "has_spared", "spares")

    def __init__(self) -> None:
        self.spares = self.has_spared = False
        self._servers = 0
        self._transports: tuple[type, ...] = ()

    def spare_live(self) -> None:
        """Leave out connections that open from now on, if the compiled part is in use; once for each server.

        The transports of uvloop are left out with them. An SSL transport and those of asyncio are not: they consist of
        many objects of their own.
        """
        self._servers += 1
        self.spares = self.has_spared = COMPILED
        try:
            from uvloop.loop import TCPTransport, UnixTransport  # type: ignore[attr-defined]
        except ImportError:
            return
        self._transports = (TCPTransport, UnixTransport)

    def stop(self, lanes: Iterable[Any]) -> None:
        """A server has stopped: collect what is left of its connections; after the last server, leave out no more.

        Args:
            lanes: of the connections that have not ended; other protocols among them are ignored.
        """
        self._servers -= 1
        self.spares = self.spares and self._servers > 0
        for lane in lanes:
            track_connection = getattr(lane, "track_connection", None)
            if track_connection is not None:
                track_connection()

    def untrack_connection(self, lane: object, connection: Connection, transport: Any) -> None:
        """Leave this connection out until :meth:`track_connection`."""
        own = transport if type(transport) in self._transports else None
        socket = None if own is None else own.get_extra_info("socket")
        untrack(own, socket, lane, connection, connection.outbox, connection.inbox)

    def track_connection(self, lane: object, connection: Connection, transport: Any) -> None:
        """Collect this connection like every other object, from its end on."""
        own = transport if type(transport) in self._transports else None
        socket = None if own is None else own.get_extra_info("socket")
        track(own, socket, lane, connection, connection.outbox, connection.inbox)
        kept = connection.untracked
        if kept is not None:
            connection.extend().untracked = None
            track(None, *kept)


collector: Final = Collector()
"""The only one of this process."""
