"""What parts of the library, such as presence, tell themselves in other processes."""

from __future__ import annotations

from collections.abc import Callable

from odac.cluster.channels import Channels
from odac.cluster.envelope import PartMessage
from odac.cluster.outgoing import Outgoing
from odac.cluster.peers import Peers
from odac.realtime.ports import Part

__all__ = ["Parts"]


class Parts:
    """Implements :class:`odac.realtime.ports.PartLine`, and hands each part what it is told.

    What is told is not counted: a part finds out by itself what it missed.

    Args:
        channels: of the application.
        outgoing: publishes.
        peers: the other processes.
        healthy: whether messages reach them.
    """

    __slots__ = ("_channels", "_healthy", "_outgoing", "_parts", "_peers")

    def __init__(self, channels: Channels, outgoing: Outgoing, peers: Peers, healthy: Callable[[], bool]) -> None:
        self._channels = channels
        self._outgoing = outgoing
        self._peers = peers
        self._healthy = healthy
        self._parts: dict[str, Part] = {}

    @property
    def healthy(self) -> bool:
        """Whether messages reach the other processes, as far as this one knows."""
        return self._healthy()

    @property
    def origins(self) -> frozenset[bytes]:
        """The other processes that send heartbeats."""
        return self._peers.origins

    def add(self, name: str, part: Part) -> None:
        """Let a part hear."""
        self._parts[name] = part

    def tell_room(self, room: str, part: str, body: bytes) -> None:
        """Tell the processes that listen to a room."""
        self._outgoing.now(self._channels.room(room), PartMessage(part, body))

    def tell_all(self, part: str, body: bytes) -> None:
        """Tell all processes."""
        self._outgoing.now(self._channels.control, PartMessage(part, body))

    def tell(self, origin: bytes, part: str, body: bytes) -> None:
        """Tell one process."""
        self._outgoing.now(self._channels.inbox(origin), PartMessage(part, body))

    def heard(self, origin: bytes, message: PartMessage) -> None:
        """Hand over what a part told; a name that this version does not know is ignored."""
        part = self._parts.get(message.part)
        if part is not None:
            part.received(origin, message.body)

    def beats(self) -> list[PartMessage]:
        """What this process's next heartbeat carries of the parts."""
        return [PartMessage(name, body) for name, part in self._parts.items() if (body := part.beat()) is not None]

    def seen(self, origin: bytes) -> None:
        """A process sent a heartbeat, the first one or the first after a silence."""
        for part in self._parts.values():
            part.seen(origin)

    def silent(self, origin: bytes) -> None:
        """A process sent no heartbeat for some time."""
        for part in self._parts.values():
            part.silent(origin)

    def left(self, origin: bytes) -> None:
        """A process said that it stops."""
        for part in self._parts.values():
            part.left(origin)

    def up(self) -> None:
        """The broker is back, or something may not have arrived."""
        for part in self._parts.values():
            part.up()
