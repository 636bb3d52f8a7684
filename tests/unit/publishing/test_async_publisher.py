from __future__ import annotations

import pytest

from odac.cluster.envelope import Close, Move, RoomMessage
from odac.publishing.async_publisher import AsyncPublisher
from odac.realtime.audience import EVERYONE, Audience, user_room
from tests.unit.brokers.fakes import run
from tests.unit.publishing.fakes import confirming


def test_each_call_publishes_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    made = confirming(monkeypatch)

    async def main() -> None:
        async with AsyncPublisher("redis://h") as publisher:
            await publisher.to_room("a", 1)
            await publisher.broadcast(2)
            await publisher.to("a", "b").excluding("x").within("c").send(3)
            await publisher.user(7).send_binary(b"4")
            await publisher.user(7).join("r")
            await publisher.to("a").leave("r")
            await publisher.user(7).close(4001, "out")
        (broker,) = made
        user = Audience((user_room("7"),))
        found = [
            (item.audience, item.payload if isinstance(item, RoomMessage) else type(item))
            for item in broker.items
            if isinstance(item, RoomMessage | Close | Move)
        ]
        assert found == [
            (Audience(("a",)), b"1"),
            (EVERYONE, b"2"),
            *[(Audience(("a", "b"), ("c",), frozenset({"x"})), b"3")] * 2,
            (user, b"4"),
            (user, Move),
            (Audience(("a",)), Move),
            *[(user, Close)] * 2,
        ]
        assert broker.calls == ["stop"]

    run(main())


def test_a_publisher_connects_with_its_first_message_and_again_after_it_was_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = confirming(monkeypatch)

    async def main() -> None:
        publisher = AsyncPublisher("redis://h")
        assert made == []
        for count in (1, 2):
            await publisher.to_room("a", 1)
            assert len(made) == count
            await publisher.close()
            await publisher.close()
            assert made[-1].calls == ["stop"]

    run(main())
