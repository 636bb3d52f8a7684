"""Handles what the other processes of the app send: room messages, and the items of the control channel."""

from __future__ import annotations

import logging
from collections.abc import Callable

from odac.cluster.channels import Channels
from odac.cluster.close_order_exchange import CloseOrderExchange
from odac.cluster.counting import CountQuestions
from odac.cluster.envelope import (
    Beat,
    Bye,
    Close,
    CountAnswer,
    CountQuestion,
    Envelope,
    Item,
    Move,
    RoomMessage,
    SubsystemMessage,
    Tails,
    Unkept,
)
from odac.cluster.incoming import Incoming
from odac.cluster.outgoing import Outgoing
from odac.cluster.peers import Peers
from odac.cluster.reporter import Reporter
from odac.cluster.subsystems import Subsystems
from odac.cluster.tails import tails_of
from odac.history.store import GarbageError, Notice, decode_message
from odac.protocol.message import Prepared
from odac.realtime.audience import Audience
from odac.realtime.ports import LocalHub, LogListener

__all__ = ["Dispatcher"]

_log = logging.getLogger("odac.broker")


class Dispatcher:
    """Passes each item of an envelope to the object that handles it.

    Args:
        hub: this process's connections.
        channels: the channel names of this application.
        outgoing: publishes the answers.
        peers: the processes that are known to run.
        close_orders: the orders to close.
        questions: the counts that this process has asked for.
        subsystems: presence and others that exchange messages with the same subsystem in other processes.
        incoming: notes the tails that the others send.
        reporter: counts and logs.
        log: gets the messages of rooms that may have a history; None without one.
        interval: seconds between two heartbeats.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        *,
        hub: LocalHub,
        channels: Channels,
        outgoing: Outgoing,
        peers: Peers,
        close_orders: CloseOrderExchange,
        questions: CountQuestions,
        subsystems: Subsystems,
        incoming: Incoming,
        reporter: Reporter,
        log: LogListener | None,
        interval: float,
        clock: Callable[[], float],
    ) -> None:
        self._hub = hub
        self._channels = channels
        self._outgoing = outgoing
        self._peers = peers
        self._close_orders = close_orders
        self._questions = questions
        self._subsystems = subsystems
        self._incoming = incoming
        self._reporter = reporter
        self._log = log
        self._interval = interval
        self._clock = clock

    def handle(self, envelope: Envelope) -> None:
        """Deliver the messages of an envelope and handle its control items; one that fails does not stop the next."""
        for item in envelope.items:
            try:
                if type(item) is RoomMessage:
                    self._reporter.counters.received += 1
                    self._hub.deliver(item.audience, Prepared(item.opcode, item.payload))
                    if self._log is not None:
                        self._log.unflagged(item.audience.rooms)
                elif type(item) is Unkept:
                    self._reporter.counters.received += 1
                    self._hub.deliver(item.audience, Prepared(item.opcode, item.payload))
                else:
                    self._control(envelope.origin, item)
            except Exception:
                _log.exception("a message from another process could not be handled; the next one is")

    def deliver_kept(self, channel: str, notice: Notice) -> int:
        """Deliver entries of a room without a feed in this process, like the messages of any room.

        Returns:
            how many of them hold no message of this version; the others are delivered.
        """
        room = Audience((self._channels.room_of(channel),))
        unreadable = 0
        for entry in notice.entries:
            try:
                message = decode_message(entry.body)
            except GarbageError:
                unreadable += 1
                continue
            self._reporter.counters.received += 1
            self._hub.deliver(room.without(*message.excluded), Prepared(message.opcode, message.payload))
        return unreadable

    def _control(self, origin: bytes, item: Item) -> None:
        if isinstance(item, Close):
            self._close_orders.heard(origin, item)
        elif isinstance(item, Move):
            self._hub.orders.move_local(item.audience, item.room, joins=item.joins)
        elif isinstance(item, Beat):
            self._heard(origin, item)
        elif isinstance(item, Bye):
            self._peers.left(origin)
            self._close_orders.clocks.forget(origin)
            self._subsystems.left(origin)
        elif isinstance(item, CountQuestion):
            answer = CountAnswer(item.question, self._hub.orders.count_local(item.audience))
            self._outgoing.now(self._channels.inbox(origin), answer)
        elif isinstance(item, CountAnswer):
            self._questions.answered(origin, item)
        elif isinstance(item, SubsystemMessage):
            self._subsystems.heard(origin, item)
        elif isinstance(item, Tails):
            now = self._clock()
            for channel, published, first in item.tails:
                first_here = self._close_orders.clocks.translate(origin, first, item.sent, now)
                self._incoming.tails.note(origin, channel, published, first_here)

    def _heard(self, origin: bytes, beat: Beat) -> None:
        now = self._clock()
        self._close_orders.clocks.sample(origin, beat.sent, now)
        known = origin in self._peers
        silent = self._peers.heard(origin, now)
        if not known:
            self._subsystems.seen(origin)
        inbox = self._channels.inbox(origin)
        if beat.greeting:
            self._outgoing.now(inbox, Beat(beat.nonce, now))
        missed = max(beat.away if beat.greeting else 0.0, silent + self._interval if silent else 0.0)
        if missed:
            self._close_orders.resend_to_one(inbox, now - missed)
            for tails in tails_of(self._outgoing.numbers, now - missed, now, now):
                self._outgoing.now(inbox, tails)
