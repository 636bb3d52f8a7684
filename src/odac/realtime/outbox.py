"""The outgoing end of a connection: in order, coalesced per tick, bounded."""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Mapping
from typing import TYPE_CHECKING, Final, Protocol, TypeGuard

from odac.close_codes import CloseCode
from odac.protocol.message import Prepared
from odac.realtime.backlog import FLUSH_BYTES, Backlog, cost
from odac.realtime.writing import write

if TYPE_CHECKING:
    from odac.realtime.delivery import Delivery, Entry
    from odac.realtime.policy import Policy

__all__ = ["NO_ROOMS", "SENT", "Lane", "Outbox", "Sent", "cost", "is_to_be_awaited"]

NO_ROOMS: Final[Mapping[str, None]] = {}
"""Shared by all connections that are in no room; a connection that joins one gets a dict of its own."""


class Lane(Protocol):
    """What carries a connection's frames. It tells the outbox of congestion with ``hold_back`` and ``go_on``."""

    @property
    def fd(self) -> int:
        """The socket for bare writes of uncompressed frames while nothing is buffered in front of them, else -1."""
        ...

    @property
    def pings(self) -> bool:
        """Whether the lane can send ping frames."""
        ...

    def write(self, messages: list[Prepared]) -> None:
        """Send in order; never blocks, never raises."""
        ...

    def write_rest(self, data: memoryview) -> None:
        """Send what a bare write to ``fd`` left over."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Send a close frame after everything written, and end when the peer answers or after the close timeout."""
        ...

    def expect_end(self) -> None:
        """Start the close timeout: a close frame is to follow what waits."""
        ...

    def abort(self) -> None:
        """End at once, without a close frame."""
        ...

    def cut(self, code: int, reason: str) -> None:
        """End at once a connection whose peer is silent: with a close frame where nothing waits in front of it."""
        ...

    def pause_reading(self) -> None:
        """Stop taking from the peer."""
        ...

    def resume_reading(self) -> None:
        """Take from the peer again."""
        ...

    @property
    def buffered(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        ...


class Sent:
    """What sending returns: awaiting it waits until the peer's buffer has room, at most until the connection ends."""

    __slots__ = ()

    def __await__(self) -> Generator[object, None, None]:
        return
        yield


SENT: Final = Sent()
"""There is room already, which is nearly always so: one object serves everybody."""


def is_to_be_awaited(result: object) -> TypeGuard[Awaitable[object]]:
    """Whether a listener's or handler's result has something to wait for: most send, and return what sending does."""
    return result is not None and result is not SENT and hasattr(result, "__await__")


class _OneTurn(Sent):
    """Awaiting it lets everybody else run once: a loop of awaited sends must not have the event loop for itself."""

    __slots__ = ()

    def __await__(self) -> Generator[object, None, None]:
        yield None


_TURN: Final = _OneTurn()


class _WhenDrained(Sent):
    __slots__ = ("_outbox",)

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def __await__(self) -> Generator[object, None, None]:
        backlog = self._outbox.backlog
        if backlog is not None:
            yield from backlog.drained().__await__()


class Outbox:
    """Everything that one connection is sent, in program order.

    Messages of its own wait in ``pending`` until the end of the tick (or of the chunk that is being handled, while
    ``corked``). Room messages wait in the delivery's log, shared by all; before anything of its own a connection takes
    its share of the log up to there (:meth:`settle`), and ``settled`` remembers how far that was.

    ``fd`` is the promise that the hot loop relies on: it is the socket when a bare write to it is in order right now
    (open, plain frames, nothing pending, nothing settled, nothing buffered), and -1 otherwise.
    """

    __slots__ = (
        "admitted",
        "backlog",
        "corked",
        "delivery",
        "farewell",
        "fd",
        "is_open",
        "lane",
        "memberships",
        "pending",
        "pending_size",
        "policy",
        "settled",
        "touched",
        "v1",
    )

    def __init__(self, delivery: Delivery, lane: Lane, policy: Policy, v1: bool) -> None:
        self.delivery = delivery
        self.lane = lane
        self.policy = policy
        self.v1 = v1
        self.is_open = True
        self.admitted = False  # through all gates: until then nothing that is for everybody is for this one
        self.fd = lane.fd
        self.pending: list[Prepared] | None = None
        self.pending_size = 0
        self.corked = False
        self.touched = False
        self.settled = 0
        self.backlog: Backlog | None = None
        self.memberships: Mapping[str, None] = NO_ROOMS
        self.farewell: tuple[int, str] | None = None

    def put(self, message: Prepared) -> Sent:
        """Send a message of this connection's own."""
        delivery = self.delivery
        if delivery.log:
            if delivery.is_writing:
                delivery.later(self.put, message)
                return SENT
            self.settle()
        pending = self.pending
        if pending is None:
            self.pending = [message]
            self.pending_size = len(message.frame)
            self.fd = -1
            if not self.corked:
                delivery.touch(self)
        else:
            pending.append(message)
            self.pending_size += len(message.frame)
            if self.pending_size > FLUSH_BYTES:
                self.flush()
                return _TURN if self.backlog is None else _WhenDrained(self)
        return SENT if self.backlog is None else _WhenDrained(self)

    def settle(self) -> None:
        """Take this connection's share of the log, as far as it goes now, so that what comes next stands behind it."""
        log = self.delivery.log
        if self.settled < len(log) and self.is_open:
            self.delivery.touch(self)
            share = log[self.settled :]
            self.settled = len(log)
            if self.backlog is None:
                for entry in share:
                    if self.is_in(entry):
                        self._collect(entry.message)
            else:
                self.flush()
                for entry in share:
                    if self.is_in(entry):
                        self._wait_in_line(self._variant(entry.message), True)

    def is_in(self, entry: Entry) -> bool:
        """Whether a log entry is for this connection."""
        rooms, within, _ = entry
        mine = self.memberships
        for room in rooms:
            if room in mine:
                break
        else:
            if rooms or not self.admitted:
                return False
        return not within or all(room in mine for room in within)

    def _variant(self, message: Prepared) -> Prepared:
        escaped = message.escaped
        return escaped if escaped is not None and self.v1 else message

    def _collect(self, message: Prepared) -> None:
        message = self._variant(message)
        if self.pending is None:
            self.pending = [message]
            self.pending_size = len(message.frame)
        else:
            self.pending.append(message)
            self.pending_size += len(message.frame)

    def flush(self) -> None:
        """Write what is pending."""
        pending = self.pending
        if pending is None:
            return
        self.pending = None
        if self.backlog is None:
            self.lane.write(pending)
        else:
            for message in pending:
                self._wait_in_line(message, False)

    def uncork(self) -> None:
        """The chunk is handled: write what its handlers sent."""
        self.corked = False
        pending = self.pending
        if pending is None:
            return
        if self.backlog is not None:
            self.flush()
            return
        self.pending = None
        lane = self.lane
        fd = lane.fd
        if fd >= 0 and len(pending) == 1:
            # The answer to one message, which is what nearly every chunk comes to.
            frame = pending[0].frame
            sent = write(fd, frame)
            if sent != len(frame):
                lane.write_rest(memoryview(frame)[sent:])
        else:
            lane.write(pending)
        if not self.touched and self.backlog is None and self.is_open:
            self.fd = fd

    def restore(self) -> None:
        """Renew the promise of ``fd`` after the causes for breaking it are gone."""
        self.fd = self.lane.fd if self.is_open and self.backlog is None and self.pending is None else -1

    # Congestion: the lane calls these two.

    def hold_back(self) -> None:
        """The kernel takes no more: from now on messages wait here, by reference."""
        self.fd = -1
        if self.backlog is None:
            self.backlog = Backlog()

    def go_on(self) -> None:
        """The kernel has taken everything: write on until it stops again."""
        backlog = self.backlog
        if backlog is None:
            return
        while not backlog.is_empty:
            self.lane.write(backlog.take())
            if self.lane.buffered:
                return
        self.backlog = None
        backlog.release()
        if self.farewell is not None:
            self.lane.close(*self.farewell)
        elif not self.touched:
            self.restore()

    def _wait_in_line(self, message: Prepared, to_room: bool) -> None:
        backlog = self.backlog
        if not self.is_open or backlog is None:
            return
        limit = self.policy.limits.outgoing_buffer
        waiting = backlog.size + self.lane.buffered
        excess = waiting + cost(message) - limit
        if excess > 0 and waiting > 0:
            if self.policy.overflow == "drop_oldest":
                # One that even an empty backlog would not make room for is dropped alone.
                count = 0 if to_room and excess > backlog.size else backlog.drop_oldest(excess)
                excess = backlog.size + self.lane.buffered + cost(message) - limit
                if excess > 0 and to_room:
                    self.delivery.dropped(self, backlog, count + 1)
                    return
                self.delivery.dropped(self, backlog, count)
            if excess > 0:
                self.overflowed(limit)
                return
        backlog.append(message, to_room)

    def overflowed(self, limit: int) -> None:
        """The reader is too slow: it is closed, and nobody else notices."""
        self.discard()
        self.settled = len(self.delivery.log)  # what it has not taken yet would come behind a gap
        self.end(CloseCode.TRY_AGAIN_LATER, f"reads too slowly: over {limit} bytes wait (outgoing_buffer)")
        self.delivery.overflowed(self, limit)

    def discard(self) -> None:
        """Let go of everything that waits."""
        self.pending = None
        backlog = self.backlog
        if backlog is not None:
            backlog.clear()
            backlog.release()

    def end(self, code: int, reason: str) -> bool:
        """Send a close frame behind everything that was sent so far, and take nothing more.

        Returns:
            whether this call did it: what was sent before may have been too much for a slow reader, and ended it first.
        """
        if self.is_open:
            self.settle()
            self.flush()
        if not self.is_open:
            return False
        self.is_open = False
        self.fd = -1
        if self.backlog is None or self.backlog.is_empty:
            self.lane.close(code, reason)
        else:
            self.farewell = (code, reason)
            self.lane.expect_end()
        return True
