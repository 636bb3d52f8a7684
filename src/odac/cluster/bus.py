"""The way from one process to the others, over a broker."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from typing import Final

from odac.brokers.base import Broker
from odac.cluster.channels import Channels
from odac.cluster.close_orders import CloseOrders
from odac.cluster.counters import Counters
from odac.cluster.envelope import (
    ORIGIN_BYTES,
    Answer,
    Ask,
    Beat,
    Bye,
    Close,
    Envelope,
    GarbageError,
    Item,
    RoomMessage,
    decode,
    mark,
)
from odac.cluster.outgoing import Outgoing, channels_of
from odac.cluster.peers import Peers
from odac.cluster.probe import Probe
from odac.cluster.reporter import Reporter
from odac.cluster.sequence import Sequence
from odac.protocol.message import Prepared
from odac.realtime.audience import Audience, session_of
from odac.realtime.ports import Count, LocalHub

__all__ = ["BrokerBus"]

_log = logging.getLogger("odac.broker")

INTERVAL: Final = 3.0
"""Seconds between two probes, each on one of the two channels of all processes and on one room, in turn. A connection that
died silently is found after two intervals at most; where only one of the two channels did, after three; where the server
forgot a single one of n rooms, after n + 1."""
PATIENCE: Final = 3.5
"""Intervals of silence after which another process counts as gone."""
SEQUENCE_AGE: Final = 600.0
"""Seconds, at least, that a publisher's last number is kept: what an outage that long cost can still be counted."""


class BrokerBus:
    """Fulfils :class:`odac.realtime.ports.Bus`. All methods are called on the event loop's thread.

    The process listens to the rooms it has members of, to a channel for everyone, a control channel and an inbox of its
    own. What it publishes goes out at the end of the tick, in order; what comes back of it is ignored, but for the probe.

    Args:
        broker: not yet started.
        hub: this process's connections.
        channels: the channel names of this application.
        interval: seconds between two probes, which are also this process's sign of life.
        clock: seconds that only ever grow; used for intervals, never sent.
    """

    def __init__(
        self,
        broker: Broker,
        hub: LocalHub,
        channels: Channels,
        *,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._hub = hub
        self._channels = channels
        self._interval = interval
        self._clock = clock
        self._origin = secrets.token_bytes(ORIGIN_BYTES)
        self._mark = mark(self._origin)
        self._reporter = Reporter(broker.address)
        self._outgoing = Outgoing(broker, self._origin, self._reporter.too_large)
        self._sequence = Sequence()
        self._close_orders = CloseOrders()
        self._untold: float | None = None  # orders since then may not have left this process
        self._proven_at = clock()
        self._control_is_next = True
        self._aged = clock()
        self._peers = Peers(PATIENCE * interval)
        self._probe = Probe()
        # Channels of rooms, the one to be probed next first.
        self._listening: dict[str, None] = {}
        self._fresh: set[str] = set()
        self._leaving: set[str] = set()
        self._questions: dict[int, tuple[dict[bytes, int], asyncio.Event]] = {}
        self._arrived = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    # What the hub asks for

    @property
    def healthy(self) -> bool:
        """Whether the broker is connected and the probes come back."""
        return self._broker.connected and self._probe.proven

    @property
    def counters(self) -> Counters:
        """What was published, received and lost."""
        return self._reporter.counters

    @property
    def processes(self) -> int:
        """How many processes are known to be there, this one included."""
        return len(self._peers) + 1

    def publish(self, audience: Audience, message: Prepared) -> None:
        """See :class:`odac.realtime.ports.Bus`."""
        self.counters.published += 1
        self._outgoing.add(
            channels_of(self._channels, audience), RoomMessage(audience, message.opcode, message.payload)
        )

    def close(self, audience: Audience, code: int, reason: str) -> None:
        """See :class:`odac.realtime.ports.Bus`.

        The end of a session is told to every process: also where it has no connections, its cookie is good no longer. Who
        cannot be told now, because this process or that one has lost the broker, is told when it is back.
        """
        ends_session = any(session_of(room) is not None for room in audience.rooms)
        channels = (self._channels.everyone,) if ends_session else channels_of(self._channels, audience)
        order = Close(audience, code, reason, secrets.randbits(63))
        self._close_orders.given(self._clock(), channels, order)
        self._outgoing.add(channels, order)

    async def count_others(self, audience: Audience, timeout: float) -> Count:  # noqa: ASYNC109 - part of the contract
        """See :class:`odac.realtime.ports.Bus`."""
        answers: dict[bytes, int] = {}
        if self._peers and self._broker.connected:
            question = secrets.randbits(63)
            changed = asyncio.Event()
            self._questions[question] = (answers, changed)
            try:
                self._outgoing.now(self._channels.control, Ask(question, audience))
                async with asyncio.timeout(timeout):
                    while not self._peers.origins <= answers.keys():
                        changed.clear()
                        await changed.wait()
            except TimeoutError:
                pass
            finally:
                del self._questions[question]
        return Count(sum(answers.values()), len(answers), len(self._peers.origins | answers.keys()))

    def room_opened(self, room: str) -> None:
        """See :class:`odac.realtime.ports.Bus`."""
        channel = self._channels.room(room)
        self._leaving.discard(channel)
        if channel not in self._listening:
            self._listening[channel] = None
            self._fresh.add(channel)
            self._broker.subscribe(channel)

    def room_closed(self, room: str) -> None:
        """See :class:`odac.realtime.ports.Bus`.

        The subscription stays until the next tick: a room whose last member comes and goes costs the broker nothing.
        """
        channel = self._channels.room(room)
        if channel in self._listening:
            self._leaving.add(channel)

    # Life

    async def start(self, wait: float = 2.0) -> None:
        """Connect, and wait until a probe has come back, or ``wait`` seconds.

        Raises:
            ConfigurationError: the broker can never work as it is configured.
        """
        for channel in (self._channels.everyone, self._channels.control, self._channels.inbox(self._origin)):
            self._broker.subscribe(channel)
        await self._broker.start(self)
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="odac: broker probe")
        try:
            async with asyncio.timeout(wait):
                await self._arrived.wait()
        except TimeoutError:
            _log.warning("%s does not answer yet; serving without it, and trying on", self._broker.address)

    async def stop(self) -> None:
        """Say goodbye and disconnect."""
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
                # Without probes nobody would notice a broker that is gone.
                _log.exception("looking after the broker failed; it goes on")
            before = now

    def tick(self, now: float, elapsed: float) -> None:
        """Do what is due once per interval.

        Args:
            now: the clock.
            elapsed: seconds since the last tick. Much more than the interval means that this process stood still; what it
                missed meanwhile is waiting to be read, and nobody's silence counts.
        """
        self._reporter.settle()
        stood_still = elapsed > 2 * self._interval
        if stood_still:
            self._peers.excuse(elapsed)
        self._peers.expire(now)
        if self.healthy and now - self._aged > SEQUENCE_AGE:
            self._aged = now
            self._sequence.age()
        for channel in self._leaving:
            self._unlisten(channel)
        self._leaving.clear()
        if self._broker.connected:
            if self._untold is not None:
                then, self._untold = self._untold, None
                self._tell_again(then)
            overdue = self._probe.overdue(now - 0.9 * self._interval)
            if overdue is None or stood_still:
                self._send_probe(greeting=False)
            else:
                reason = f"a probe on {overdue} did not come back within {self._interval:g} s"
                self.on_down(reason)
                self._broker.reconnect(reason)
        self._fresh.clear()

    def _unlisten(self, channel: str) -> None:
        del self._listening[channel]
        self._broker.unsubscribe(channel)
        self._sequence.forget_channel(channel)
        self._probe.forget(channel)

    def _send_probe(self, greeting: bool) -> None:
        now = self._clock()
        beat = Beat(secrets.randbits(63), greeting, self._away() if greeting else 0.0)
        # All processes hear it on either channel. In turn, because on a cluster one of them alone may be silent.
        common = self._channels.control if greeting or self._control_is_next else self._channels.everyone
        self._control_is_next = common == self._channels.everyone
        self._probe.sent(common, self._outgoing.now(common, beat), now)
        # A room in turn as well, so that one subscription that the server forgot is found in time. Not a fresh one: a probe
        # could overtake its subscription.
        channel = next((channel for channel in self._listening if channel not in self._fresh), None)
        if channel is not None:
            self._listening[channel] = self._listening.pop(channel)
            self._probe.sent(channel, self._outgoing.now(channel, beat), now)

    # What the broker says

    def on_message(self, channel: str, payload: bytes) -> None:
        """See :class:`odac.brokers.base.Receiver`."""
        if payload.startswith(self._mark):
            if self._probe.returned(channel, payload) and self._probe.proven:
                self._proven_at = self._clock()
                self._arrived.set()
                self._reporter.up(self._clock())
            return
        try:
            envelope = decode(payload)
        except GarbageError as error:
            self._reporter.garbage(channel, str(error))
            return
        lost = self._sequence.lost
        accepted = self._sequence.accept(channel, envelope)
        if self._sequence.lost != lost:
            self._reporter.lost(self._sequence.lost - lost)
        self.counters.late = self._sequence.late
        if accepted:
            self._handle(envelope)

    def on_up(self) -> None:
        """See :class:`odac.brokers.base.Receiver`."""
        self._probe.reset()
        self._send_probe(greeting=True)
        self._untold = None
        self._tell_again(self._clock() - self._away())

    def on_down(self, reason: str) -> None:
        """See :class:`odac.brokers.base.Receiver`."""
        self._probe.reset()
        self._reporter.down(reason, self._clock())

    def on_dropped(self, messages: int, reason: str) -> None:
        """See :class:`odac.brokers.base.Receiver`."""
        self._reporter.dropped(messages, reason)
        if self._broker.connected and self._untold is None:
            # A full queue, a slot of a cluster that moves: an order may have been among them.
            self._untold = self._clock() - self._interval

    def _tell_again(self, then: float) -> None:
        for channels, order in self._close_orders.since(then):
            self._outgoing.add(channels, order)

    def _away(self) -> float:
        """Seconds for which this process may not have heard the others, nor they it."""
        # The proof was on its way for up to an interval, and tells of the time before that.
        return self._clock() - self._proven_at + self._interval

    def _handle(self, envelope: Envelope) -> None:
        for item in envelope.items:
            try:
                if type(item) is RoomMessage:
                    self.counters.received += 1
                    self._hub.deliver(item.audience, Prepared(item.opcode, item.payload))
                else:
                    self._control(envelope.origin, item)
            except Exception:
                _log.exception("a message from another process could not be handled; the next one is")

    def _welcome(self, inbox: str, beat: Beat) -> None:
        self._outgoing.now(inbox, Beat(beat.nonce))
        for _, order in self._close_orders.since(self._clock() - beat.away):
            self._outgoing.add((inbox,), order)

    def _control(self, origin: bytes, item: Item) -> None:
        if isinstance(item, Close):
            if self._close_orders.got(item):
                self._hub.close_local(item.audience, item.code, item.reason)
        elif isinstance(item, Beat):
            self._peers.heard(origin, self._clock())
            if item.greeting:
                self._welcome(self._channels.inbox(origin), item)
        elif isinstance(item, Bye):
            self._peers.gone(origin)
        elif isinstance(item, Ask):
            answer = Answer(item.question, self._hub.count_local(item.audience))
            self._outgoing.now(self._channels.inbox(origin), answer)
        elif isinstance(item, Answer) and item.question in self._questions:
            answers, changed = self._questions[item.question]
            answers[origin] = item.total
            changed.set()
