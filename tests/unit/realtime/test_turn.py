from __future__ import annotations

from odac.realtime.turn import NO_MESSAGE, Turn
from tests.unit.realtime.realtime_fakes import Room, run


def test_a_turn_begins_with_its_bytes_and_is_no_message() -> None:
    begun: list[bytes] = []
    assert Turn(begun.append)(b"arguments") is NO_MESSAGE
    assert begun == [b"arguments"]


def test_in_the_queue_it_comes_behind_the_messages_before_it_and_no_reader_gets_it() -> None:
    async def test() -> None:
        connection = Room().connect()
        told: list[object] = []
        connection.inbox.receive_text(b"1")
        connection.inbox.hold(b"turn", Turn(told.append))
        connection.inbox.receive_text(b"2")
        told.append(await connection.receive())
        assert told == [1]
        told.append(await connection.receive())
        assert told == [1, b"turn", 2]

    run(test())


def test_one_that_is_withdrawn_does_not_begin() -> None:
    async def test() -> None:
        connection = Room().connect()
        told: list[object] = []
        kept, withdrawn = Turn(told.append), Turn(told.append)
        connection.inbox.hold(b"withdrawn", withdrawn)
        connection.inbox.hold(b"kept", kept)
        connection.inbox.withdraw(withdrawn)
        connection.inbox.receive_text(b"1")
        assert await connection.receive() == 1
        assert told == [b"kept"]

    run(test())
