from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from odac.presence.comparing import ROOMS_A_PART, Collection, parts_of
from odac.presence.messages import encode


@given(st.integers(0, 4 * ROOMS_A_PART), st.randoms())
def test_all_parts_together_name_all_rooms(count: int, chance: object) -> None:
    versions = {f"room-{number}": number for number in range(count)}
    parts = parts_of(7, versions)
    assert {room: version for part in parts for room, version in part.versions.items()} == versions
    chance.shuffle(parts)  # type: ignore[attr-defined]
    collection = Collection()
    found = [collection.add(part) for part in parts]
    assert found[:-1] == [None] * (len(parts) - 1)
    assert found[-1] == set(versions)


def test_parts_of_two_answers_are_not_mixed() -> None:
    first, second = (parts_of(question, {f"{question}-{n}": n for n in range(ROOMS_A_PART + 1)}) for question in (1, 2))
    collection = Collection()
    assert collection.add(first[0]) is None
    assert collection.add(second[1]) is None
    assert collection.add(second[0]) == {f"2-{number}" for number in range(ROOMS_A_PART + 1)}


def test_a_part_is_small_enough_for_every_broker() -> None:
    name = "\U0001f600" * 50
    assert all(
        len(encode(part)) < 64 * 1024 for part in parts_of(7, {f"{name[:48]}{n:06}": 2**40 for n in range(1000)})
    )
