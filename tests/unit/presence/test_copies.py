from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from odac.presence.copies import Copy
from odac.presence.messages import Ask, Delta, Entry
from odac.presence.shares import Numbering, Share
from tests.unit.presence.test_messages import entries


def copy() -> Copy:
    return Copy(lambda connection, before, after: None)


steps = st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), entries), st.booleans()), max_size=40)


@given(steps, st.sets(st.integers(0, 60)))
def test_a_copy_follows_its_share_whatever_is_lost_or_late(
    steps: list[tuple[int, Entry | None, bool]], lost: set[int]
) -> None:
    share, follower = Share("room", Numbering()), copy()
    count = 0
    late: list[Delta] = []
    for connection, entry, tell in steps:
        if entry is None:
            share.remove(str(connection))
        else:
            share.set(str(connection), entry)
        if not tell:
            continue
        for delta in share.deltas():
            count += 1
            if count in lost:
                late.append(delta)
            else:
                follower.apply(delta)
    for delta in share.deltas():
        follower.apply(delta)
    for delta in reversed(late[::2]):
        follower.apply(delta)
    if follower.apply(share.repeat()):
        for page in share.pages(Ask("room", 1, follower.version)):
            follower.take(page)
    assert follower.entries == share.entries
    assert follower.version == share.version


def large(number: int) -> Entry:
    return Entry(f"u:{number}", b"x" * 1000, 0.0, number)


def test_pages_of_two_versions_are_not_mixed() -> None:
    share, follower = Share("room", Numbering()), copy()
    for number in range(100):
        share.set(f"c{number}", large(number))
    share.deltas()
    before = share.pages(Ask("room", 9))
    for number in range(100):
        share.remove(f"c{number}")
    share.set("c1", large(1))
    deltas = share.deltas()
    follower.take(before[0])
    for page in share.pages(Ask("room", 9)):
        follower.take(page)
    for page in before[1:]:
        follower.take(page)
    for delta in deltas:
        follower.apply(delta)
    assert follower.entries == share.entries == {"c1": large(1)}


def test_a_version_that_is_known_costs_no_pages() -> None:
    share, follower = Share("room", Numbering()), copy()
    share.set("c1", large(1))
    for delta in share.deltas():
        follower.apply(delta)
    (page,) = share.pages(Ask("room", 9, follower.version))
    assert page.pages == 0
    assert follower.take(page)
    assert follower.entries == share.entries


def test_a_share_that_begins_anew_replaces_what_was_there_before() -> None:
    numbering, follower = Numbering(), copy()
    first = Share("room", numbering)
    first.set("c1", large(1))
    for delta in first.deltas():
        follower.apply(delta)
    second = Share("room", numbering)
    second.set("c2", large(2))
    for delta in second.deltas():
        assert not follower.apply(delta)
    assert follower.entries == {"c2": large(2)}
