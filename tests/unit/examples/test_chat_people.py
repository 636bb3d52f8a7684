"""Names in the chat belong to one person at a time, and a person goes at a bounded pace."""

from __future__ import annotations

import pytest

from examples.chat.people import KEPT_FOR, Names, NotAllowed, Pace, Paces, Person


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("again", ["Ada", "ADA", " ada ", "\uff21da"])
def test_a_taken_name_is_refused_however_it_is_written(again: str) -> None:
    names = Names()
    names.sign_in("Ada")
    with pytest.raises(NotAllowed, match="already called"):
        names.sign_in(again)


def test_a_name_is_free_after_signing_out() -> None:
    names = Names()
    first = names.sign_in("Ada")
    names.give_up(first)
    assert names.sign_in("Ada").id != first.id


def test_giving_up_a_name_that_is_somebody_elses_by_now_does_nothing() -> None:
    clock = Clock()
    names = Names(clock)
    first = names.sign_in("Ada")
    clock.now += KEPT_FOR + 1
    second = names.sign_in("Ada")
    names.give_up(first)
    assert names.keep(second)
    assert not names.keep(first)


def test_a_name_stays_while_its_person_is_seen_and_some_time_after() -> None:
    clock = Clock()
    names = Names(clock)
    ada = names.sign_in("Ada")
    clock.now += KEPT_FOR - 1
    assert names.keep(ada)
    clock.now += KEPT_FOR - 1
    with pytest.raises(NotAllowed):
        names.sign_in("Ada")
    clock.now += 2
    names.sign_in("Ada")


def test_a_name_that_was_given_up_is_not_taken_back_by_a_tab_that_closes_late() -> None:
    names = Names()
    ada = names.sign_in("Ada")
    assert names.seen(ada)
    names.give_up(ada)
    assert not names.seen(ada)
    names.sign_in("Ada")


def test_being_seen_keeps_a_name() -> None:
    clock = Clock()
    names = Names(clock)
    ada = names.sign_in("Ada")
    clock.now += KEPT_FOR - 1
    names.seen(ada)
    clock.now += KEPT_FOR - 1
    with pytest.raises(NotAllowed):
        names.sign_in("Ada")


def test_somebody_whose_session_outlived_a_restart_gets_the_name_back() -> None:
    assert Names().keep(Person("from-before", "Ada"))


def test_a_pace_gives_a_burst_and_then_one_at_a_time() -> None:
    clock = Clock()
    pace = Pace(burst=3, seconds=2.0, clock=clock)
    assert [pace.wait() for _ in range(3)] == [0, 0, 0]
    assert pace.wait() == pytest.approx(2.0)
    clock.now += 1.5
    assert pace.wait() == pytest.approx(0.5), "being refused costs nothing"
    clock.now += 0.5
    assert pace.wait() == 0
    assert pace.wait() == pytest.approx(2.0)
    assert not pace.rested
    clock.now += 6
    assert pace.rested


def test_one_person_has_one_pace_over_all_tabs() -> None:
    paces = Paces(burst=1, seconds=1.0, clock=Clock())
    ada, bob = Person("1", "Ada"), Person("2", "Bob")
    assert paces.of(ada).wait() == 0
    assert paces.of(Person("1", "Ada")).wait() > 0
    assert paces.of(bob).wait() == 0


def test_rested_paces_are_forgotten_and_busy_ones_are_not() -> None:
    clock = Clock()
    paces = Paces(burst=1, seconds=1.0, clock=clock)
    for number in range(10_001):
        paces.of(Person(str(number), "Ada")).wait()
    clock.now += 1
    busy = paces.of(Person("0", "Ada"))
    busy.wait()
    paces.of(Person("late", "Ada"))
    assert paces.of(Person("0", "Ada")) is busy
    assert len(paces._paces) == 2


def test_a_client_has_one_pace_under_all_of_its_addresses() -> None:
    paces = Paces(burst=1, seconds=60.0, clock=Clock())
    assert paces.of("203.0.113.9") is paces.of("::ffff:203.0.113.9")
    assert paces.of("2001:db8::1") is paces.of("2001:db8::ffff:1")
    assert paces.of("2001:db8::1") is not paces.of("2001:db8:0:1::1")
    assert paces.of("") is paces.of("")
