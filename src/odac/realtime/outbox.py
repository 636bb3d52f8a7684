"""Outgoing messages of a connection: in order, coalesced per tick, bounded."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, ClassVar

from odac.close_codes import CloseCode
from odac.protocol.message import Prepared
from odac.realtime.backlog import FLUSH_BYTES, Backlog, cost
from odac.realtime.phase import CLOSING, OPEN
from odac.realtime.sent import ONE_TURN, SENT, Sent
from odac.realtime.writing import write
from odac.speedups import compiled_put

if TYPE_CHECKING:
    from odac.realtime.internal_ports import DeliveryOfOutbox, OutboxOwner
    from odac.realtime.policy import Policy
    from odac.realtime.ports import Lane

__all__ = ["Outbox"]


class _WhenDrained(Sent):
    """Awaiting it waits until the backlog is written, or the connection has ended."""

    __slots__ = ("_outbox",)

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def __await__(self) -> Generator[object, None, None]:
        backlog = self._outbox.backlog
        if backlog is not None:
            yield from backlog.drained().__await__()


@compiled_put(FLUSH_BYTES)
class Outbox:
    """All messages to one connection, in program order.

    Messages to this connection alone are collected in ``pending`` until the end of the tick; or, while it is corked
    (a chunk of its received bytes is being handled), until the chunk is handled. Room messages are entries of the
    delivery, which all connections share. Before the connection queues a message of its own, it takes its share of the
    entries so far (:meth:`take_share`); ``taken`` is the number of them that it has taken.

    The delivery relies on the connection's ``fd``: the socket while entries may be written to it directly, past the
    transport (a bare write), else -1. Only :meth:`renew_fd` sets it.

    Attributes:
        is_apart: whether the delivery writes this outbox separately when the tick ends, because it has messages of
            its own.
        backlog: the messages that the kernel has not accepted yet; None if there are none.
    """

    __slots__ = (
        "_owner",
        "backlog",
        "delivery",
        "is_apart",
        "lane",
        "pending",
        "pending_size",
        "taken",
    )

    reference_put: ClassVar[Callable[[Outbox, Prepared], Sent]]

    def __init__(self, owner: OutboxOwner, delivery: DeliveryOfOutbox, lane: Lane) -> None:
        self._owner = owner
        self.delivery = delivery
        self.lane = lane
        self.pending: list[Prepared] | None = None
        self.pending_size = 0
        self.is_apart = False
        self.taken = 0
        self.backlog: Backlog | None = None
        self.renew_fd()

    @property
    def policy(self) -> Policy:
        """The limits of the connection."""
        return self._owner.policy

    def renew_fd(self) -> None:
        """Compute the connection's ``fd`` again; called whenever a condition that it depends on changes.

        Pending messages are no such condition: then the outbox is set apart, or it is corked, and the delivery sets a
        corked one apart before it writes.
        """
        owner = self._owner
        in_order = not self.is_apart and self.backlog is None and (owner.phase is OPEN or owner.phase < CLOSING)
        owner.fd = self.lane.fd if in_order else -1

    def put(self, message: Prepared) -> Sent:
        """Send a message to this connection alone."""
        delivery = self.delivery
        if delivery.entries:
            if delivery.is_writing:
                delivery.later(self.put, message)
                return SENT
            self.take_share()
        pending = self.pending
        if pending is None:
            self.pending = [message]
            self.pending_size = len(message.frame)
            if delivery.corked is not self:
                self.set_apart()
        else:
            pending.append(message)
            size = self.pending_size = self.pending_size + len(message.frame)
            if size > FLUSH_BYTES:
                self.flush()
                return ONE_TURN if self.backlog is None else _WhenDrained(self)
        return SENT if self.backlog is None else _WhenDrained(self)

    def set_apart(self) -> None:
        """Have the delivery write this outbox separately when the tick ends."""
        if not self.is_apart:
            self.is_apart = True
            self.renew_fd()
            self.delivery.set_apart(self)

    def take_share(self) -> None:
        """Take this connection's share of the entries so far, so that the next message comes after it."""
        entries = self.delivery.entries
        if self.taken < len(entries) and (self._owner.phase is OPEN or self._owner.phase < CLOSING):
            self.set_apart()
            share = entries[self.taken :]
            self.taken = len(entries)
            is_in = self._owner.is_in
            if self.backlog is None:
                for entry in share:
                    if is_in(entry):
                        self._collect(entry.message)
            else:
                self.flush()
                for entry in share:
                    if is_in(entry):
                        message = self.variant(entry.message)
                        if entry.kept and self.backlog is not None:
                            # Never more than those of one tick: later ones are read from the history after this drains.
                            self.backlog.append(message, False)
                        else:
                            self._append_to_backlog(message, True)

    def variant(self, message: Prepared) -> Prepared:
        """The message in this peer's form: text that begins with U+001E is escaped for a peer with ``odac.v1``."""
        escaped = message.escaped
        return escaped if escaped is not None and self._owner.speaks_odac else message

    def _collect(self, message: Prepared) -> None:
        message = self.variant(message)
        if self.pending is None:
            self.pending = [message]
            self.pending_size = len(message.frame)
        else:
            self.pending.append(message)
            self.pending_size += len(message.frame)

    def flush(self) -> None:
        """Write the pending messages."""
        pending = self.pending
        if pending is None:
            return
        self.pending = None
        if self.backlog is None:
            self.lane.write(pending)
        else:
            for message in pending:
                self._append_to_backlog(message, False)

    def cork(self) -> None:
        """A chunk of the peer's bytes is about to be handled: collect what its handlers send until :meth:`uncork`."""
        self.delivery.corked = self

    def uncork(self) -> None:
        """The chunk is handled: write what its handlers sent."""
        self.delivery.corked = None
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
            # One message, the usual case: the answer to the one message in the chunk.
            frame = pending[0].frame
            sent = write(fd, frame)
            if sent != len(frame):
                lane.write_rest(memoryview(frame)[sent:])
        else:
            lane.write(pending)

    # Congestion: the lane calls these two.

    def pause_writing(self) -> None:
        """The kernel accepts no more data: from now on messages are kept in the backlog, by reference."""
        if self.backlog is None:
            self.backlog = Backlog()
            self.renew_fd()
            if self.delivery.on_congested is not None:
                self.delivery.on_congested(self._owner)

    def resume_writing(self) -> None:
        """The kernel has accepted everything: write the backlog until the kernel accepts no more."""
        backlog = self.backlog
        if backlog is None:
            return
        while not backlog.is_empty:
            self.lane.write(backlog.take())
            if self.lane.buffered:
                return
        self.backlog = None
        backlog.release()
        if backlog.pending_close is not None:
            self.lane.close(*backlog.pending_close)
        else:
            self.renew_fd()

    def _append_to_backlog(self, message: Prepared, to_room: bool) -> None:
        backlog, owner = self.backlog, self._owner
        if owner.phase >= CLOSING or backlog is None:
            return
        limit = owner.policy.limits.outgoing_buffer
        waiting = backlog.size + self.lane.buffered
        excess = waiting + cost(message) - limit
        if excess > 0 and waiting > 0:
            if owner.policy.overflow == "drop_oldest":
                # A message that would not fit even in an empty backlog is dropped alone.
                count = 0 if to_room and excess > backlog.size else backlog.drop_oldest(excess)
                excess = backlog.size + self.lane.buffered + cost(message) - limit
                if excess > 0 and to_room:
                    self.delivery.dropped(owner.policy, backlog, count + 1)
                    return
                self.delivery.dropped(owner.policy, backlog, count)
            if excess > 0:
                self._overflow(limit)
                return
        backlog.append(message, to_room)

    def _overflow(self, limit: int) -> None:
        """The reader is too slow: close it. No other connection is affected."""
        self.discard()
        self.set_apart()
        self.taken = len(self.delivery.entries)  # the rest of its share would follow a gap
        reason = f"reads too slowly: over {limit} bytes wait (outgoing_buffer)"
        self._owner.begin_close(CloseCode.TRY_AGAIN_LATER, reason)
        self.delivery.overflowed(self._owner.policy)

    def discard(self) -> None:
        """Drop every message that is not written yet."""
        self.pending = None
        backlog = self.backlog
        if backlog is not None:
            backlog.clear()
            backlog.release()

    # The end

    def write_all(self) -> None:
        """Write everything that was sent so far, or append it to the backlog."""
        self.take_share()
        self.flush()

    def close(self, code: int, reason: str) -> None:
        """Send the close frame, after the backlog if there is one. Later messages are dropped."""
        self.renew_fd()
        if self.backlog is None or self.backlog.is_empty:
            self.lane.close(code, reason)
        else:
            self.backlog.pending_close = (code, reason)
            self.lane.expect_end()

    def drop(self, released: OutboxOwner, lane: Lane) -> None:
        """The connection is released: use ``released`` in its place, and ``lane``, which drops what is written."""
        self._owner = released
        self.lane = lane

    def close_now(self) -> None:
        """Drop the backlog, and send the close frame that was queued after it.

        A peer that sent its close frame, or broke the protocol, is assumed to read no more data.
        """
        if self.backlog is not None:
            self.discard()
            if self.backlog.pending_close is not None:
                self.lane.close(*self.backlog.pending_close)
