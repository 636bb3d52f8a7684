"""A publisher's connection over a broker that does what the test says."""

from __future__ import annotations

import asyncio

import pytest

from odac.brokers.base import MAX_PAYLOAD
from odac.cluster.channels import Channels
from odac.cluster.envelope import Close, Piece, RoomMessage, decode
from odac.cluster.outgoing import OVERHEAD
from odac.errors import BrokerError
from odac.publishing import connection as module
from odac.publishing.connection import PublisherConnection
from odac.publishing.publication import closing
from odac.realtime.audience import Audience, session_room, user_room
from tests.unit.brokers.fakes import FakeBroker, run, ticks

CHANNELS = Channels()


class Confirmed(FakeBroker):
    """Confirms each payload with what the test says: None, an error, or never."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[object] = []

    async def flush(self) -> None:
        raise NotImplementedError

    async def deliver(self, channel: str, payload: bytes) -> None:
        self.publish(channel, payload)
        answer = self.answers.pop(0) if self.answers else None
        if answer == "never":
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Confirmed:
    broker = Confirmed()
    monkeypatch.setattr(module, "make_broker", lambda url: broker)
    return broker


async def connected(broker: Confirmed, timeout: float = 20.0) -> PublisherConnection:
    connection = PublisherConnection("redis://h", timeout)
    waiting = asyncio.create_task(connection.wait_connected())
    await ticks()
    broker.connect()
    await waiting
    return connection


def message(payload: bytes, *rooms: str) -> RoomMessage:
    return RoomMessage(Audience(rooms), 2, payload)


def test_each_call_gets_the_result_of_its_own_message(broker: Confirmed) -> None:
    async def main() -> None:
        connection = await connected(broker)
        broker.answers = [None, BrokerError("refused"), None]
        results = await asyncio.gather(
            *(connection.publish(message(b"%d" % number, "a")) for number in range(3)),
            connection.publish(message(bytes(MAX_PAYLOAD), "a")),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [type(None), BrokerError, type(None), BrokerError]
        assert f"at most {MAX_PAYLOAD - OVERHEAD}" in str(results[3])
        assert len(broker.published) == 3

    run(main())


def test_messages_are_numbered_for_each_room(broker: Confirmed) -> None:
    async def main() -> None:
        connection = await connected(broker)
        for rooms in (("a",), ("b",), ("a", "b")):
            await connection.publish(message(b"x", *rooms))
        found = [(channel[-1], decode(payload)) for channel, payload, _ in broker.published]
        assert [(room, each.number, each.shared) for room, each in found] == [
            ("a", 0, False),
            ("b", 0, False),
            ("a", 1, True),
            ("b", 1, True),
        ]
        assert [each.sequence for _, each in found] == [1, 2, 3, 3]

    run(main())


def test_what_is_larger_than_the_broker_carries_goes_in_pieces(broker: Confirmed) -> None:
    async def main() -> None:
        connection = await connected(broker)
        await connection.publish(message(bytes(3 * broker.max_message), "a"))
        assert len(broker.published) == 4
        for _, payload, _ in broker.published:
            assert len(payload) <= broker.max_message
            assert isinstance(decode(payload).items[0], Piece)

    run(main())


def test_an_order_goes_to_its_room_and_to_all_processes_and_a_sessions_end_to_all(broker: Confirmed) -> None:
    async def main() -> None:
        connection = await connected(broker)
        await connection.publish(closing(Audience((user_room("1"),)), 4001, "out"))
        await connection.publish(closing(Audience((session_room("s"),)), 4001, "out"))
        found = [(channel, decode(payload).items[0]) for channel, payload, _ in broker.published]
        orders = [item for _, item in found if isinstance(item, Close)]
        assert [channel for channel, _ in found] == [CHANNELS.room(user_room("1")), *[CHANNELS.everyone] * 2]
        assert [order.keep for order in orders] == [False, True, False]
        assert orders[0].id == orders[1].id != orders[2].id

    run(main())


def test_after_the_first_time_out_calls_fail_at_once_until_the_connection_is_back(broker: Confirmed) -> None:
    async def main() -> None:
        connection = await connected(broker, timeout=0.05)
        broker.answers = ["never"]
        with pytest.raises(BrokerError, match=r"within 0\.05 s"):
            await connection.publish(message(b"1", "a"))
        assert broker.calls == ["reconnect"]
        # From here on nothing may wait: the connection would wait for longer than a test may take.
        connection._timeout = 1000
        for _ in range(3):
            with pytest.raises(BrokerError, match="in the background"):
                await connection.publish(message(b"2", "a"))
        broker.connect()
        await connection.publish(message(b"3", "a"))

    run(main())


def test_a_server_that_was_never_there_costs_one_time_out(broker: Confirmed) -> None:
    async def main() -> None:
        connection = PublisherConnection("redis://h", 0.05)
        with pytest.raises(BrokerError, match="no connection within"):
            await connection.publish(message(b"1", "a"))
        connection._timeout = 1000
        await broker.start(connection)
        broker.break_("connection refused")
        with pytest.raises(BrokerError, match="connection refused"):
            await connection.publish(message(b"2", "a"))

    run(main())
