from __future__ import annotations

import asyncio

from odac.config import Limits
from odac.realtime.policy import INCOMING_BYTES, Policy
from odac.realtime.queue import MessageQueue
from odac.realtime.turn import Turn
from tests.unit.realtime.realtime_fakes import run


def policy(incoming_queue: int = 4) -> Policy:
    return Policy("/test", Limits(incoming_queue=incoming_queue, max_payload=1024))


def test_messages_are_taken_in_the_order_of_their_arrival() -> None:
    queue = MessageQueue()
    queue.append((b"1", None))
    queue.append((b"2", bytes.upper))
    assert (queue.take(), queue.take(), len(queue)) == ((b"1", None), (b"2", bytes.upper), 0)


def test_it_is_full_at_its_number_of_messages_and_read_again_at_half_of_it() -> None:
    queue = MessageQueue()
    states = []
    for _ in range(4):
        queue.append((b"x", None))
        states.append(queue.is_full(policy()))
    assert states == [False, False, False, True]
    states = []
    for _ in range(4):
        queue.take()
        states.append(queue.is_half_empty(policy()))
    assert states == [False, True, True, True]


def test_bytes_count_as_well() -> None:
    queue = MessageQueue()
    queue.append((b"x" * INCOMING_BYTES, None))
    assert queue.is_full(policy(100))
    assert not queue.is_half_empty(policy(100))
    queue.take()
    assert queue.is_half_empty(policy(100))


def test_a_turn_is_withdrawn_before_it_comes() -> None:
    queue = MessageQueue()
    first, second = Turn(lambda _: None), Turn(lambda _: None)
    queue.append((b"x" * INCOMING_BYTES, first))
    queue.append((b"y", second))
    assert queue.withdraw(first)
    assert not queue.withdraw(first)
    assert queue.is_half_empty(policy())
    assert (queue.take(), len(queue)) == ((b"y", second), 0)


def test_a_message_wakes_the_reader_once() -> None:
    async def test() -> None:
        queue = MessageQueue()
        waiter = queue.waiter = asyncio.get_running_loop().create_future()
        queue.append((b"1", None))
        queue.append((b"2", None))
        assert waiter.done()

    run(test())
