"""Connects this process with the other processes of the app, over a broker."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from typing import Final

from odac.brokers.base import MAX_PAYLOAD, Broker
from odac.cluster.channels import Channels
from odac.cluster.close_order_exchange import CloseOrderExchange
from odac.cluster.close_orders import KEPT_SECONDS
from odac.cluster.counters import BusCounters
from odac.cluster.counting import CountQuestions
from odac.cluster.dispatch import Dispatcher
from odac.cluster.envelope import (
    ORIGIN_BYTES,
    Beat,
    Bye,
    Move,
    RoomMessage,
    Unkept,
    mark,
)
from odac.cluster.incoming import Incoming
from odac.cluster.listening import Listening
from odac.cluster.outgoing import Outgoing, channels_of
from odac.cluster.peers import Peers
from odac.cluster.probe import Probe
from odac.cluster.reporter import Reporter
from odac.cluster.subsystems import Subsystems
from odac.cluster.tails import tails_of
from odac.history.store import MAGIC, decode_notice
from odac.history.store import GarbageError as KeptGarbage
from odac.protocol.message import Prepared
from odac.realtime.audience import Audience
from odac.realtime.ports import Count, LocalHub, LogListener

__all__ = ["BrokerBus"]

_log = logging.getLogger("odac.broker")

INTERVAL: Final = 3.0
"""Seconds between two probes, each on one of the two channels of all processes and on one room, in turn. A connection
that died silently is detected after two intervals at most; if only one of the two channels died, after three; if the
server forgot the subscription to one of n rooms, after n + 1."""
PATIENCE: Final = 3.5
"""Intervals without a heartbeat after which another process counts as silent."""


HEAD_BYTES: Final = 8192
"""Bytes of an envelope besides its message: enough for a handful of rooms with the longest names."""


class BrokerBus:
    """Implements :class:`odac.realtime.ports.Bus`. All methods are called on the event loop's thread.

    The process listens to the rooms that it has members of, to the channel for broadcasts, to the control channel and
    to an inbox of its own. Its items are published at the end of the tick, in order; the copies that the broker sends
    back are ignored, except probes.

    Args:
        broker: not yet started.
        hub: this process's connections.
        channels: the channel names of this application.
        log: gets what the stores of rooms with history publish.
        interval: seconds between two probes, which are also this process's heartbeat.
        clock: seconds that never go back. Other processes translate them, see :class:`odac.cluster.clocks.Clocks`.
    """

    def __init__(
        self,
        broker: Broker,
        hub: LocalHub,
        channels: Channels,
        *,
        log: LogListener | None = None,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._channels = channels
        self._log = log
        self._interval = interval
        self._clock = clock
        self._origin = secrets.token_bytes(ORIGIN_BYTES)
        self._mark = mark(self._origin)
        self._inbox = channels.inbox(self._origin)
        self._common = (channels.control, channels.everyone)
        self._reporter = Reporter(broker.address)
        self._outgoing = Outgoing(broker, self._origin, self._reporter.too_large, clock)
        self._listening = Listening(broker, clock)
        always = (*self._common, self._inbox)
        self._incoming = Incoming(self._reporter, self._listening, always, interval, clock())
        self._close_orders = CloseOrderExchange(hub, channels, self._outgoing, clock)
        self._peers = Peers(PATIENCE * interval)
        self._questions = CountQuestions(self._peers)
        self.subsystems = Subsystems(channels, self._outgoing, self._peers, lambda: self.healthy)
        self._dispatcher = Dispatcher(
            hub=hub,
            channels=channels,
            outgoing=self._outgoing,
            peers=self._peers,
            close_orders=self._close_orders,
            questions=self._questions,
            subsystems=self.subsystems,
            incoming=self._incoming,
            reporter=self._reporter,
            log=log,
            interval=interval,
            clock=clock,
        )
        self._probe = Probe(self._common, clock())
        self._unsent_since: float | None = None  # orders given since then may not have left this process
        self._control_is_next = True
        self._arrived = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    # Called by the hub

    @property
    def healthy(self) -> bool:
        """Whether the broker is connected and the probes come back."""
        return self._broker.connected and self._probe.proven

    @property
    def counters(self) -> BusCounters:
        """What was published, received and lost."""
        return self._reporter.counters

    @property
    def max_message(self) -> int:
        """Bytes of the largest message that is sent to the other processes, however long the names of its rooms are."""
        return MAX_PAYLOAD - HEAD_BYTES

    @property
    def processes(self) -> int:
        """How many processes are known to be running, this one included."""
        return len(self._peers) + 1

    def publish(self, audience: Audience, message: Prepared, *, unkept: bool = False) -> None:
        """See :class:`odac.realtime.ports.Bus`."""
        self.counters.published += 1
        kind = Unkept if unkept else RoomMessage
        self._outgoing.add(channels_of(self._channels, audience), kind(audience, message.opcode, message.payload))

    def close(self, audience: Audience, code: int, reason: str, given: float) -> None:
        """See :class:`odac.realtime.ports.Bus`. Processes that are cut off now get the order when they are back."""
        self._close_orders.give(audience, code, reason, given)

    def move(self, audience: Audience, room: str, *, joins: bool) -> None:
        """See :class:`odac.realtime.ports.Bus`."""
        self._outgoing.add(channels_of(self._channels, audience), Move(audience, room, joins))

    async def count_others(self, audience: Audience, timeout: float) -> Count:  # noqa: ASYNC109 - part of the contract
        """See :class:`odac.realtime.ports.Bus`."""
        if not self._peers or not self._broker.connected:
            return Count(0, 0, len(self._peers))
        return await self._questions.ask(
            audience, lambda question: self._outgoing.now(self._channels.control, question), timeout
        )

    def room_opened(self, room: str) -> None:
        """See :class:`odac.realtime.ports.Bus`."""
        channel = self._channels.room(room)
        if self._listening.opened(channel):
            self._incoming.resubscribed(channel)

    def room_closed(self, room: str) -> None:
        """See :class:`odac.realtime.ports.Bus`."""
        self._listening.closed(self._channels.room(room))

    # Start and stop

    async def start(self, wait: float = 2.0) -> None:
        """Connect, and wait until a probe has come back, or ``wait`` seconds.

        Raises:
            ConfigurationError: the broker can never work as it is configured.
        """
        for channel in (*self._common, self._inbox):
            self._broker.subscribe(channel)
        await self._broker.start(self)
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="odac: broker probe")
        try:
            async with asyncio.timeout(wait):
                await self._arrived.wait()
        except TimeoutError:
            _log.warning(
                "%s does not answer yet; serving without it and connecting in the background", self._broker.address
            )

    async def stop(self) -> None:
        """Tell the other processes that this one stops, and disconnect."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        self._outgoing.flush()
        if self._broker.connected:
            self._outgoing.now(self._channels.control, Bye())
        await self._broker.stop()

    async def _keep(self) -> None:
        before = self._clock()
        while True:
            await asyncio.sleep(self._interval)
            now = self._clock()
            try:
                self.tick(now, now - before)
            except Exception:
                # The loop must go on: without probes, the loss of the broker would go unnoticed.
                _log.exception("checking the broker failed; the next check follows")
            before = now

    def tick(self, now: float, elapsed: float) -> None:
        """Do what is due once per interval.

        Args:
            now: the clock.
            elapsed: seconds since the last tick. Much more than the interval means that this process was suspended.
                Heartbeats that arrived meanwhile are still unread, so the silence of other processes does not count.
        """
        self._reporter.interval_ended()
        stood_still = elapsed > 2 * self._interval
        if stood_still:
            self._peers.excuse(elapsed)
            self._incoming.missed = True
        for origin in self._peers.expire(now):
            self._close_orders.clocks.forget(origin)
            self.subsystems.silent(origin)
        self._incoming.tick(now, healthy=self.healthy)
        for channel in self._listening.unsubscribe_empty():
            self._incoming.forget_channel(channel)
            self._probe.forget(channel)
        self._close_orders.tick(now - self._interval)
        if self._broker.connected:
            self._tick_connected(now, stood_still)
        for channel in self._listening.settle():
            self._incoming.settled(channel)

    def _tick_connected(self, now: float, stood_still: bool) -> None:
        if self._unsent_since is not None:
            then, self._unsent_since = self._unsent_since, None
            self._close_orders.resend_to_all(then)
        if self._broker.drops_silently:
            quiet = now - self._interval
            for tails in tails_of(self._outgoing.numbers, quiet - self._interval, quiet, now):
                self._outgoing.now(self._channels.control, tails)
        overdue = self._probe.overdue(now - 0.9 * self._interval)
        if overdue is None or stood_still:
            greeting, self._incoming.missed = self._incoming.missed, False
            self._send_probe(greeting=greeting)
            if greeting:
                self.subsystems.up()
        else:
            reason = f"a probe on {overdue} did not come back within {self._interval:g} s"
            self.on_down(reason)
            self._broker.reconnect(reason)

    def _send_probe(self, greeting: bool) -> None:
        now = self._clock()
        beat = Beat(secrets.randbits(63), now, greeting, self._cut_off_for() if greeting else 0.0)
        # Either channel reaches all processes. They take turns, because on a cluster one of them alone may fail.
        common = self._channels.control if greeting or self._control_is_next else self._channels.everyone
        self._control_is_next = common == self._channels.everyone
        self._probe.sent(common, self._outgoing.now(common, beat, *self.subsystems.beats()), now)
        # Rooms take turns as well, so that a single subscription that the server forgot is detected in time.
        channel = self._listening.next_to_probe()
        if channel is not None:
            self._probe.sent(channel, self._outgoing.now(channel, beat), now)

    # Called by the broker

    def on_message(self, channel: str, payload: bytes) -> None:
        """See :class:`odac.brokers.base.Receiver`."""
        if payload.startswith(self._mark):
            self._own(channel, payload)
            return
        if payload.startswith(MAGIC):
            self._kept(channel, payload)
            return
        envelope = self._incoming.receive(channel, payload)
        if envelope is not None:
            self._dispatcher.handle(envelope)

    def _kept(self, channel: str, payload: bytes) -> None:
        """Handle what a history store has published. Members of a room without a rule in this app get the messages
        as well: a publisher may still know a rule that this app no longer has.
        """
        try:
            if self._log is not None and self._log.arrived(channel, payload):
                return
            if self._dispatcher.deliver_kept(channel, decode_notice(payload)):
                self._reporter.garbage(channel, "a room's history holds an entry of another version")
        except KeptGarbage:
            self._reporter.garbage(channel, "no store publishes this")

    def _own(self, channel: str, payload: bytes) -> None:
        now = self._clock()
        if self._probe.returned(channel, payload, now) and self._probe.proven:
            self._arrived.set()
            self._reporter.up(now)

    def on_up(self) -> None:
        """See :class:`odac.brokers.base.Receiver`."""
        self._probe.reset()
        self._incoming.missed = False
        self._send_probe(greeting=True)
        self.subsystems.up()
        self._unsent_since = None
        away = self._clock() - self._cut_off_for()
        self._close_orders.resend_to_all(away)
        for tails in tails_of(self._outgoing.numbers, away, self._clock(), self._clock()):
            self._outgoing.now(self._channels.control, tails)

    def on_down(self, reason: str) -> None:
        """See :class:`odac.brokers.base.Receiver`."""
        self._probe.reset()
        self._reporter.down(reason, self._clock())

    def on_gap(self) -> None:
        """See :class:`odac.brokers.base.Receiver`."""
        self._incoming.missed = True

    def on_dropped(self, messages: int, reason: str) -> None:
        """See :class:`odac.brokers.base.Receiver`."""
        self._reporter.dropped(messages, reason)
        if self._broker.connected and self._unsent_since is None:
            # The queue was full, or a slot of a cluster moved: orders may be among the dropped messages.
            self._unsent_since = self._clock() - self._interval

    def _cut_off_for(self) -> float:
        """Seconds for which this process may have been cut off from the others."""
        # A probe takes up to an interval to return, and proves nothing about the time after it was sent.
        return min(self._clock() - self._probe.proven_at + self._interval, KEPT_SECONDS)
