from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.presence.shares import PAGE_BYTES, Ask, Copy, Delta, Entry, Page, Share, Versions, decode, encode

entries = st.builds(
    Entry,
    person=st.text(max_size=20),
    data=st.binary(max_size=40),
    since=st.floats(0, 2**40),
    changed=st.integers(0, 2**50),
    away=st.booleans(),
)


def copy() -> Copy:
    return Copy(lambda connection, before, after: None)


@given(st.dictionaries(st.text(max_size=8), entries, max_size=4), st.lists(st.text(max_size=8), max_size=3))
def test_what_is_told_arrives_as_it_was(changed: dict[str, Entry], removed: list[str]) -> None:
    for item in (Delta("room", 1, 2, changed, removed), Ask("room", 7, 3), Page("room", 7, 2, 0, 1, changed)):
        assert decode(encode(item)) == item


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x90", encode(Ask("room", 1))[:-1], b"\x94\x05\xa1r\x00\x00"])
def test_garbage_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(body)


steps = st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), entries), st.booleans()), max_size=40)


@given(steps, st.sets(st.integers(0, 60)))
def test_a_copy_follows_its_share_whatever_is_lost_or_late(
    steps: list[tuple[int, Entry | None, bool]], lost: set[int]
) -> None:
    share, follower = Share("room", Versions()), copy()
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


def test_a_large_share_travels_in_parts() -> None:
    share, follower, late = Share("room", Versions()), copy(), copy()
    for number in range(200):
        share.set(f"c{number}", large(number))
    deltas = share.deltas()
    assert len(deltas) > 5
    for delta in deltas:
        assert len(encode(delta)) < 2 * PAGE_BYTES
        assert not follower.apply(delta)
    pages = share.pages(Ask("room", 9))
    assert len(pages) > 5
    for page in reversed(pages[1:]):
        assert not late.take(page)
    assert late.entries == {}
    assert late.take(pages[0])
    assert follower.entries == late.entries == share.entries


def test_pages_of_two_versions_are_not_mixed() -> None:
    share, follower = Share("room", Versions()), copy()
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
    share, follower = Share("room", Versions()), copy()
    share.set("c1", large(1))
    for delta in share.deltas():
        follower.apply(delta)
    (page,) = share.pages(Ask("room", 9, follower.version))
    assert page.pages == 0
    assert follower.take(page)
    assert follower.entries == share.entries


def test_a_share_that_begins_anew_replaces_what_was_there_before() -> None:
    versions, follower = Versions(), copy()
    first = Share("room", versions)
    first.set("c1", large(1))
    for delta in first.deltas():
        follower.apply(delta)
    second = Share("room", versions)
    second.set("c2", large(2))
    for delta in second.deltas():
        assert not follower.apply(delta)
    assert follower.entries == {"c2": large(2)}
