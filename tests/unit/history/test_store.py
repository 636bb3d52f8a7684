from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.history.store import (
    Entry,
    GarbageError,
    Message,
    Notice,
    decode_message,
    decode_notice,
    encode_entries,
    encode_message,
    encode_notice,
    encode_probe,
)

EPOCH = b"e" * 16


@given(st.lists(st.tuples(st.integers(0, 2**60), st.binary(max_size=50)), min_size=1), st.integers(1, 2**50))
def test_entries_survive_being_published(entries: list[tuple[int, bytes]], first: int) -> None:
    given_entries = [Entry(first + index, time, body) for index, (time, body) in enumerate(entries)]
    assert decode_notice(encode_entries(EPOCH, given_entries)) == Notice(EPOCH, first, tuple(given_entries))


def test_the_other_notices_survive() -> None:
    assert decode_notice(encode_notice(EPOCH, 7)) == Notice(EPOCH, 7)
    assert decode_notice(encode_notice(EPOCH, 7, changed=True)) == Notice(EPOCH, 7, changed=True)
    assert decode_notice(encode_probe(EPOCH, 3)) == Notice(EPOCH, 3, probe=True)


@given(st.binary(max_size=80), st.integers(0, 60))
def test_garbage_is_named(junk: bytes, cut: int) -> None:
    payload = encode_entries(EPOCH, [Entry(1, 2, b"body"), Entry(2, 3, b"more")])
    for bad in (junk, payload[:cut], payload + b"x", payload[:4] + junk + payload[4:]):
        try:
            notice = decode_notice(bad)
        except GarbageError:
            continue
        assert bad[:1] == b"\xc1"
        assert len(bad) >= 30
        assert notice.first >= 0


def test_a_message_survives() -> None:
    message = Message(("a.1", "b"), 1, "ü".encode())
    assert decode_message(encode_message(message)) == message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x01",
        encode_message(Message((), 1, b"\xff")),
        encode_message(Message((), 8, b"")),
        encode_message(Message((), 1, b""))[:-1],
    ],
)
def test_no_client_is_sent_what_no_process_appends(body: bytes) -> None:
    with pytest.raises(GarbageError):
        decode_message(body)
