"""Entries that are ready to be sent."""

from __future__ import annotations

from odac.history.entries import ENTRY_COST, Unreadable, name_of, prepare
from odac.history.store import Entry, Message, encode_message
from tests.unit.history.history_fakes import kept


def test_an_excluded_page_is_left_out_in_each_of_its_connections() -> None:
    entry = kept(1, b"x", "page.5", "other.1")
    assert not entry.is_for("page.5")
    assert not entry.is_for("page.6")
    assert entry.is_for("page2.5")
    assert kept(1).is_for("page.5")
    assert name_of("page.5") == name_of("page.77") == "page"


def test_an_entry_is_decoded_once_for_all() -> None:
    entry = prepare(Entry(3, 1234, encode_message(Message(("a.1",), 2, b"\x00\xff"))))
    assert (entry.offset, entry.time, entry.excluded) == (3, 1234, ("a.1",))
    assert (entry.message.opcode, entry.message.payload) == (2, b"\x00\xff")
    assert entry.size > ENTRY_COST + 2


def test_what_no_version_has_written_is_for_nobody() -> None:
    entry = prepare(Entry(3, 0, b"garbage"))
    assert isinstance(entry, Unreadable)
    assert entry.offset == 3
    assert not entry.is_for("anybody.1")
