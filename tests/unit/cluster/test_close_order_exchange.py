"""Orders to close over any order of outages: a model of two or three processes, publishers, and one broker."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from odac.cluster.bus import BrokerBus
from odac.cluster.channels import Channels
from odac.cluster.close_order_exchange import copies_of
from odac.cluster.envelope import Close, Envelope, encode
from odac.publishing.publication import closing
from odac.realtime.audience import Audience, session_room, user_room
from tests.unit.brokers.fakes import Clock, FakeBroker, FakeHub, run, ticks

CHANNELS = Channels()
INTERVAL = 3.0
USER = Audience((user_room("1"),))
SESSION = Audience((session_room("s"),))


@dataclass(eq=False)
class Connection:
    opened: float
    closed_by: list[int] = field(default_factory=list)


class Hub(FakeHub):
    """One process's connections of user 1."""

    def __init__(self) -> None:
        super().__init__()
        self.connections: list[Connection] = []
        self.clock_offset = 0.0

    def close_local(self, audience: Audience, code: int, reason: str, given: float) -> None:
        for connection in self.connections:
            if connection.opened + self.clock_offset <= given:
                connection.closed_by.append(int(reason))


class NetBroker(FakeBroker):
    """Reaches the other processes of the model unless it is cut off; deaf is one whose connection died silently."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.deaf = False

    def publish(self, channel: str, payload: bytes, messages: int = 1) -> None:
        if self.is_connected:
            self.world.publish(channel, payload)
        else:
            assert self.receiver is not None
            self.receiver.on_dropped(messages, "not connected")

    def hears(self, channel: str) -> bool:
        return self.is_connected and not self.deaf and channel in self.channels

    def reconnect(self, reason: str) -> None:
        self.deaf = False
        self.break_(reason)
        self.connect()


class Process:
    def __init__(self, world: World, clock_offset: float) -> None:
        self.world = world
        self.hub = Hub()
        self.hub.clock_offset = clock_offset
        self.broker = NetBroker(world)
        self.clock_offset = clock_offset
        self.bus = BrokerBus(self.broker, self.hub, CHANNELS, interval=INTERVAL, clock=self.clock)

    def clock(self) -> float:
        return self.world.clock.now + self.clock_offset

    async def start(self) -> None:
        await self.broker.start(self.bus)
        for channel in (CHANNELS.everyone, CHANNELS.control, CHANNELS.inbox(self.bus._origin)):
            self.broker.subscribe(channel)
        self.broker.connect()

    def connect_user(self) -> None:
        if not self.hub.connections:
            self.bus.room_opened(user_room("1"))
        self.hub.connections.append(Connection(self.world.clock.now))

    def knows(self, number: int) -> bool:
        return any(kept.order.reason == str(number) for kept in self.bus._close_orders._orders.since(-1e9))


class World:
    def __init__(self, offsets: list[float]) -> None:
        self.clock = Clock()
        self.orders: list[float] = []
        self.under_way: list[tuple[Process, str, bytes]] = []
        self.processes = [Process(self, offset) for offset in offsets]

    def publish(self, channel: str, payload: bytes) -> None:
        for process in self.processes:
            if process.broker.hears(channel):
                self.under_way.append((process, channel, payload))

    async def arrive(self) -> None:
        """Let everything arrive that is under way, and what is published because of it."""
        await ticks()
        while self.under_way:
            process, channel, payload = self.under_way.pop(0)
            if process.broker.hears(channel):
                process.bus.on_message(channel, payload)
            if not self.under_way:
                await ticks()

    def at(self, index: int) -> Process:
        return self.processes[index % len(self.processes)]

    def close(self, index: int, audience: Audience) -> None:
        process = self.at(index)
        number = len(self.orders)
        self.orders.append(self.clock.now)
        process.hub.close_local(audience, 4001, str(number), process.clock())
        process.bus.close(audience, 4001, str(number), process.clock())

    async def publisher_closes(self) -> None:
        """From a process that listens to nothing, and whose clock nobody knows."""
        number = len(self.orders)
        self.orders.append(self.clock.now)
        made = closing(USER, 4001, str(number))
        order = Close(USER, 4001, made.reason, made.id, 77.0, 77.0)
        for sequence, (channels, copy) in enumerate(copies_of(CHANNELS, order)):
            for channel in channels:
                self.publish(channel, encode(Envelope(2, b"publisher-%06d" % number, sequence + 1, 0, False, [copy])))
        await self.arrive()
        for process in self.processes:
            assert process.knows(number) == (process.broker.is_connected and not process.broker.deaf)

    async def do(self, step: tuple[str, int]) -> None:
        what, index = step
        self.clock.now += 0.25
        process = self.at(index)
        if what == "close":
            self.close(index, USER)
        elif what == "log out":
            self.close(index, SESSION)
        elif what == "publisher":
            await self.publisher_closes()
        elif what == "connect":
            process.connect_user()
        elif what == "cut" and process.broker.is_connected:
            process.broker.break_()
        elif what == "deaf" and process.broker.is_connected:
            process.broker.deaf = True
        elif what == "heal" and not process.broker.is_connected:
            process.broker.deaf = False
            process.broker.connect()
        elif what == "drain" and len(self.processes) > 1:
            await process.bus.stop()
            await self.arrive()
            process.broker.is_connected = False
            self.processes.remove(process)
        elif what == "time passes":
            for _ in range(1 + 3 * index):
                await self.interval()
        await self.arrive()

    async def interval(self) -> None:
        self.clock.now += INTERVAL
        for process in list(self.processes):
            process.bus.tick(process.clock(), INTERVAL)
        await self.arrive()

    def check(self) -> None:
        known = [number for number in range(len(self.orders)) if any(each.knows(number) for each in self.processes)]
        for process in self.processes:
            for connection in process.hub.connections:
                due = [number for number in known if connection.opened <= self.orders[number]]
                missing = set(due) - set(connection.closed_by)
                assert not missing, f"orders {missing} did not reach a connection that was there"
                wrong = [number for number in connection.closed_by if connection.opened > self.orders[number]]
                assert not wrong, f"orders {wrong} closed a connection that came after them"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["close", "log out", "publisher", "connect", "cut", "deaf", "heal", "heal", "drain", "time passes"]
        ),
        st.integers(0, 2),
    ),
    max_size=25,
)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=3), STEPS)
@settings(deadline=None)
# The sender is cut off when it orders, and the receiver when the sender is back.
@example(
    [0.0, 500.0],
    [
        *[("connect", 1), ("cut", 0), ("close", 0), ("time passes", 2)],
        *[("cut", 1), ("heal", 0), ("time passes", 0), ("heal", 1)],
    ],
)
# The same, so quickly that neither counts the other as gone.
@example(
    [0.0, 500.0],
    [
        *[("time passes", 0), ("connect", 1), ("cut", 0), ("close", 0)],
        *[("time passes", 0), ("time passes", 0), ("time passes", 0)],
        *[("cut", 1), ("heal", 0), ("heal", 1)],
    ],
)
# The sender has stopped when the receiver comes back: the third process tells.
@example(
    [0.0, 500.0, 9.0],
    [("connect", 1), ("cut", 1), ("close", 0), ("time passes", 0), ("drain", 0), ("heal", 0)],
)
@example([0.0, 1.0, 2.0], [("connect", 1), ("cut", 1), ("publisher", 0), ("time passes", 0), ("heal", 1)])
# The user comes again while the order is under way, far from the sender's clock.
@example([0.0, -1e5], [("connect", 1), ("cut", 0), ("close", 0), ("connect", 1), ("time passes", 0), ("heal", 0)])
def test_an_order_reaches_every_connection_that_was_there_and_none_that_came_after(
    offsets: list[float], steps: list[tuple[str, int]]
) -> None:
    async def main() -> None:
        world = World(offsets)
        for process in world.processes:
            await process.start()
        for _ in range(2):
            await world.interval()
        for step in steps:
            await world.do(step)
        for index in range(len(world.processes)):
            await world.do(("heal", index))
        for _ in range(6):  # what died silently is found meanwhile
            await world.interval()
        world.check()

    run(main())


def test_the_sender_of_an_order_keeps_it_however_long_it_is_cut_off_within_the_limit() -> None:
    async def main() -> None:
        world = World([0.0, 0.0])
        for process in world.processes:
            await process.start()
        await world.do(("connect", 1))
        await world.do(("cut", 0))
        await world.do(("close", 0))
        for _ in range(190):
            await world.interval()
        await world.do(("heal", 0))
        await world.interval()
        world.check()
        assert world.processes[1].hub.connections[0].closed_by == [0]

    run(main())


def test_the_copy_for_all_processes_is_executed_only_where_the_other_does_not_arrive() -> None:
    async def main() -> None:
        world = World([0.0, 0.0])
        for process in world.processes:
            await process.start()
        await world.do(("connect", 1))
        one, other = world.processes
        other.broker.channels.discard(CHANNELS.room(user_room("1")))  # its subscription is not in effect yet
        await world.do(("close", 0))
        assert other.hub.connections[0].closed_by == []
        for _ in range(2):
            await world.interval()
        assert other.hub.connections[0].closed_by == [0]
        assert one.knows(0)

    run(main())
