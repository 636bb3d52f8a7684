from __future__ import annotations

from odac.client.pending import MAX_BYTES, MAX_MESSAGES, Pending
from odac.protocol.message import Prepared
from odac.wire.frames import BINARY, TEXT


def drained(pending: Pending) -> list[bytes]:
    taken = []
    while pending:
        taken.append(pending.first().payload)
        pending.sent()
    return taken


def test_first_in_first_out() -> None:
    pending = Pending()
    for number in range(5):
        assert pending.push(Prepared(TEXT, b"%d" % number))
    assert drained(pending) == [b"0", b"1", b"2", b"3", b"4"]
    assert pending.size == 0


def test_a_message_stays_until_it_was_sent() -> None:
    pending = Pending()
    pending.push(Prepared(TEXT, b"a"))
    assert pending.first() is pending.first()
    assert len(pending) == 1


def test_the_number_is_bounded() -> None:
    pending = Pending()
    assert all(pending.push(Prepared(TEXT, b"")) for _ in range(MAX_MESSAGES))
    assert not pending.push(Prepared(TEXT, b""))
    pending.sent()
    assert pending.push(Prepared(TEXT, b""))


def test_the_size_is_bounded_and_a_smaller_message_still_fits() -> None:
    pending = Pending()
    assert not pending.push(Prepared(BINARY, bytes(MAX_BYTES + 1)))
    assert pending.push(Prepared(BINARY, bytes(MAX_BYTES - 1)))
    assert not pending.push(Prepared(BINARY, b"ab"))
    assert pending.push(Prepared(BINARY, b"a"))
    assert pending.size == MAX_BYTES


def test_cleared_it_is_empty() -> None:
    pending = Pending()
    pending.push(Prepared(TEXT, b"a"))
    pending.clear()
    assert (len(pending), pending.size) == (0, 0)
