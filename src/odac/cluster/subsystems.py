"""Messages of a subsystem of the library, such as presence, to the same subsystem in other processes."""

from __future__ import annotations

from collections.abc import Callable

from odac.cluster.channels import Channels
from odac.cluster.envelope import SubsystemMessage
from odac.cluster.outgoing import Outgoing
from odac.cluster.peers import Peers
from odac.realtime.ports import Subsystem

__all__ = ["Subsystems"]


class Subsystems:
    """Implements :class:`odac.realtime.ports.SubsystemSender`, and passes each subsystem the messages for it.

    These messages are not numbered: each subsystem detects what it missed by itself.

    Args:
        channels: the channel names of this application.
        outgoing: publishes the messages.
        peers: the other processes.
        healthy: returns whether messages reach them.
    """

    __slots__ = ("_channels", "_healthy", "_outgoing", "_peers", "_subsystems")

    def __init__(self, channels: Channels, outgoing: Outgoing, peers: Peers, healthy: Callable[[], bool]) -> None:
        self._channels = channels
        self._outgoing = outgoing
        self._peers = peers
        self._healthy = healthy
        self._subsystems: dict[str, Subsystem] = {}

    @property
    def healthy(self) -> bool:
        """Whether messages reach the other processes, as far as this one knows."""
        return self._healthy()

    @property
    def origins(self) -> frozenset[bytes]:
        """The other processes that send heartbeats."""
        return self._peers.origins

    def add(self, name: str, subsystem: Subsystem) -> None:
        """Pass a subsystem the messages for this name, and the changes of the other processes."""
        self._subsystems[name] = subsystem

    def send_to_room(self, room: str, subsystem: str, body: bytes) -> None:
        """Send to the processes that listen to a room."""
        self._outgoing.now(self._channels.room(room), SubsystemMessage(subsystem, body))

    def send_to_all(self, subsystem: str, body: bytes) -> None:
        """Send to all processes."""
        self._outgoing.now(self._channels.control, SubsystemMessage(subsystem, body))

    def send_to(self, origin: bytes, subsystem: str, body: bytes) -> None:
        """Send to one process."""
        self._outgoing.now(self._channels.inbox(origin), SubsystemMessage(subsystem, body))

    def heard(self, origin: bytes, message: SubsystemMessage) -> None:
        """Pass a message to its subsystem; a name that this version does not know is ignored."""
        subsystem = self._subsystems.get(message.subsystem)
        if subsystem is not None:
            subsystem.received(origin, message.body)

    def beats(self) -> list[SubsystemMessage]:
        """What the subsystems add to this process's next heartbeat."""
        return [
            SubsystemMessage(name, body)
            for name, subsystem in self._subsystems.items()
            if (body := subsystem.beat()) is not None
        ]

    def seen(self, origin: bytes) -> None:
        """A process sent a heartbeat, the first one or the first after a silence."""
        for subsystem in self._subsystems.values():
            subsystem.seen(origin)

    def silent(self, origin: bytes) -> None:
        """A process sent no heartbeat for some time."""
        for subsystem in self._subsystems.values():
            subsystem.silent(origin)

    def left(self, origin: bytes) -> None:
        """A process announced that it stops."""
        for subsystem in self._subsystems.values():
            subsystem.left(origin)

    def up(self) -> None:
        """The broker is connected again, or messages may have been lost."""
        for subsystem in self._subsystems.values():
            subsystem.up()
