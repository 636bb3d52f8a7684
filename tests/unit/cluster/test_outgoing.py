from __future__ import annotations

from odac.brokers.base import MAX_PAYLOAD
from odac.cluster import outgoing as module
from odac.cluster.channels import Channels
from odac.cluster.envelope import Beat, Envelope, RoomMessage, decode
from odac.cluster.outgoing import Outgoing, channels_of
from odac.realtime.audience import EVERYONE, Audience
from tests.unit.brokers.fakes import FakeBroker, run, ticks

ORIGIN = b"o" * 16
CHANNELS = Channels()


class Setup:
    def __init__(self) -> None:
        self.broker = FakeBroker()
        self.too_large: list[tuple[int, int]] = []
        self.outgoing = Outgoing(self.broker, ORIGIN, lambda size, limit: self.too_large.append((size, limit)))

    def send(self, payload: bytes, *rooms: str) -> None:
        audience = Audience(rooms)
        self.outgoing.add(channels_of(CHANNELS, audience), RoomMessage(audience, 1, payload))

    @property
    def published(self) -> list[tuple[str, Envelope, int]]:
        return [(channel, decode(payload), messages) for channel, payload, messages in self.broker.published]

    @property
    def payloads(self) -> list[tuple[str, list[bytes]]]:
        return [
            (channel.rpartition(".")[2], [item.payload for item in envelope.items if isinstance(item, RoomMessage)])
            for channel, envelope, _ in self.published
        ]


def test_an_audience_travels_on_the_channels_where_its_members_are() -> None:
    room = CHANNELS.room
    assert channels_of(CHANNELS, EVERYONE) == (CHANNELS.everyone,)
    assert channels_of(CHANNELS, Audience(("a", "b", "a"))) == (room("a"), room("b"))
    assert channels_of(CHANNELS, Audience(("a",), within=("b",))) == (room("a"),)
    assert channels_of(CHANNELS, Audience(within=("b", "c"))) == (room("b"),)


def test_one_tick_is_one_payload_per_run_of_the_same_channels() -> None:
    async def main() -> None:
        setup = Setup()
        for payload, room in [(b"1", "a"), (b"2", "a"), (b"3", "b"), (b"4", "a")]:
            setup.send(payload, room)
        await ticks()
        # Order over all channels is kept, so 4 is not put beside 1 and 2.
        assert setup.payloads == [("a", [b"1", b"2"]), ("b", [b"3"]), ("a", [b"4"])]
        assert [messages for _, _, messages in setup.published] == [2, 1, 1]
        assert [envelope.number for _, envelope, _ in setup.published] == [0, 0, 2]
        assert [envelope.sequence for _, envelope, _ in setup.published] == [1, 2, 3]

    run(main())


def test_nothing_goes_out_before_the_tick_ends() -> None:
    async def main() -> None:
        setup = Setup()
        setup.send(b"1", "a")
        assert setup.published == []
        await ticks()
        assert setup.payloads == [("a", [b"1"])]

    run(main())


def test_a_message_to_several_rooms_is_one_with_copies() -> None:
    async def main() -> None:
        setup = Setup()
        setup.send(b"1", "a", "b")
        await ticks()
        (_, one, counted), (_, other, uncounted) = setup.published
        assert one.shared
        assert one == other
        assert (counted, uncounted) == (1, 0)

    run(main())


def test_a_run_ends_before_it_is_large() -> None:
    async def main() -> None:
        setup = Setup()
        for _ in range(3):
            setup.send(b"x" * (module.RUN_BYTES // 2 - 1000), "a")
        for _ in range(module.RUN_ITEMS + 1):
            setup.send(b"", "b")
        await ticks()
        assert [(channel, len(payloads)) for channel, payloads in setup.payloads] == [
            ("a", 2),
            ("a", 1),
            ("b", module.RUN_ITEMS),
            ("b", 1),
        ]

    run(main())


def test_what_no_broker_carries_is_refused_by_its_size() -> None:
    async def main() -> None:
        setup = Setup()
        setup.send(b"x" * MAX_PAYLOAD, "a")
        setup.send(b"y", "a")
        await ticks()
        ((size, limit),) = setup.too_large
        assert size >= limit == MAX_PAYLOAD
        assert setup.payloads == [("a", [b"y"])]

    run(main())


def test_a_run_is_never_more_than_the_broker_carries() -> None:
    async def main() -> None:
        setup = Setup()
        setup.broker.max_message = 3000
        ids = frozenset(f"{number:022}" for number in range(20))
        for number in range(30):
            audience = Audience(("é" * 20,), ("b",), ids)
            setup.outgoing.add(("c",), RoomMessage(audience, 1, b"%d" % number))
        await ticks()
        assert sum(len(payloads) for _, payloads in setup.payloads) == 30
        assert all(len(payload) <= 3000 for _, payload, _ in setup.broker.published)
        assert setup.too_large == []

    run(main())


def test_what_goes_now_goes_after_what_was_added_and_is_not_counted() -> None:
    async def main() -> None:
        setup = Setup()
        setup.send(b"1", "a")
        payload = setup.outgoing.now(CHANNELS.control, Beat(1, 0.0))
        assert [channel for channel, _, _ in setup.published] == [CHANNELS.room("a"), CHANNELS.control]
        assert setup.broker.published[-1] == (CHANNELS.control, payload, 0)
        assert setup.published[-1][1].number == -1
        await ticks()
        assert len(setup.published) == 2

    run(main())
