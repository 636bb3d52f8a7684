from __future__ import annotations

from odac.presence.copies import Copy
from odac.presence.messages import Ask, Entry, encode
from odac.presence.shares import PAGE_BYTES, Numbering, Share


def copy() -> Copy:
    return Copy(lambda connection, before, after: None)


def large(number: int) -> Entry:
    return Entry(f"u:{number}", b"x" * 1000, 0.0, number)


def test_a_large_share_travels_in_parts() -> None:
    share, follower, late = Share("room", Numbering()), copy(), copy()
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


def test_many_removals_travel_in_parts_behind_what_was_set() -> None:
    share = Share("room", Numbering())
    for number in range(10_000):
        share.set(f"a connection with a long id {number}", large(0))
    share.deltas()
    share.set("c1", large(1))
    for number in range(10_000):
        share.remove(f"a connection with a long id {number}")
    first, *rest = share.deltas()
    assert list(first.changed) == ["c1"]
    assert sum(len(each.removed) for each in (first, *rest)) == 10_000
    assert all(len(encode(each)) < 2 * PAGE_BYTES for each in (first, *rest))


def test_a_version_that_is_known_is_answered_in_a_word() -> None:
    share = Share("room", Numbering())
    share.set("c1", large(1))
    share.deltas()
    (page,) = share.pages(Ask("room", 9, share.version))
    assert (page.pages, page.entries) == (0, {})
