from __future__ import annotations

from asyncio import AbstractEventLoop
from typing import cast

from odac.presence.others import GONE_AFTER_SILENCE, GONE_UNSEEN, LATE, Others
from tests.unit.presence.network import VirtualLoop

A = b"a"
FOR_GOOD = float("inf")


def make() -> tuple[VirtualLoop, Others, list[tuple[bytes, float]]]:
    loop, dropped = VirtualLoop(), list[tuple[bytes, float]]()
    return (
        loop,
        Others(cast("AbstractEventLoop", loop), lambda origin, passed: dropped.append((origin, passed))),
        dropped,
    )


def test_a_silent_process_is_gone_after_some_time() -> None:
    loop, others, dropped = make()
    others.silent(A)
    assert others.any_silent
    loop.run(GONE_AFTER_SILENCE - 0.1)
    assert dropped == []
    loop.run(0.2)
    assert dropped == [(A, FOR_GOOD)]
    assert (others.any_silent, A in others) == (False, False)


def test_a_sign_of_life_makes_up_for_it() -> None:
    loop, others, dropped = make()
    others.silent(A)
    others.seen(A)
    loop.run(2 * GONE_AFTER_SILENCE)
    assert (dropped, others.any_silent) == ([], False)


def test_a_goodbye_gives_each_room_its_grace() -> None:
    loop, others, dropped = make()
    others.silent(A)
    others.left(A, [0.0, 10.0, 30.0])
    loop.run(0)
    assert dropped == [(A, 0.0)]
    loop.run(10)
    assert dropped == [(A, 0.0), (A, 10.0)]
    assert A in others
    loop.run(20)
    assert dropped[2:] == [(A, FOR_GOOD)]


def test_a_goodbye_of_a_process_without_people_costs_nothing() -> None:
    loop, others, dropped = make()
    others.left(A, [])
    loop.run(60)
    assert dropped == []


def test_a_process_that_was_never_seen_alive_goes_too() -> None:
    loop, others, dropped = make()
    others.unseen(A)
    loop.run(GONE_UNSEEN + 0.1)
    assert dropped == [(A, FOR_GOOD)]


def test_silence_while_this_process_stood_still_does_not_count() -> None:
    loop, others, dropped = make()
    others.silent(A)
    loop._due = [(when + LATE + 1, number, timer) for when, number, timer in loop._due]  # called late
    loop.run(GONE_AFTER_SILENCE + LATE + 2)
    assert dropped == []
    loop.run(GONE_AFTER_SILENCE)
    assert dropped == [(A, FOR_GOOD)]
