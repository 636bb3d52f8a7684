from __future__ import annotations

import pytest

from odac.wire.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, encode_masked_frame
from odac.wire.parser import SharedParser

MASK = b"\x01\x02\x03\x04"
LIMIT = 4096


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    return encode_masked_frame(opcode, payload, MASK, fin=fin)


HELLO, WORLD = frame(TEXT, b"hello"), frame(BINARY, b"world")
LEFT_WITHIN = {
    "a header": HELLO[:1],
    "a payload": HELLO[:-1],
    "a message": frame(TEXT, b"first", fin=False),
    "more than one read takes": frame(PING, b"") * 3000,
    "a closed stream": frame(CLOSE, b"") + HELLO,
    "a broken stream": b"\xff\xff" + HELLO,
}


@pytest.mark.parametrize("state", LEFT_WITHIN)
def test_another_connection_finds_a_shared_parser_as_new(state: str) -> None:
    shared = SharedParser(LIMIT, 4)
    shared.feed(LEFT_WITHIN[state])
    assert shared.whole_limit < 0
    own = shared.split()
    for data, count in ((WORLD + HELLO, 2), (HELLO, 1), (frame(BINARY, bytes(LIMIT)), 1)):
        assert len(shared.feed(data)) == count
        assert (shared.error, shared.rest, shared.whole_limit) == (None, None, LIMIT)
    rest = {"a header": HELLO[1:], "a payload": HELLO[-1:], "a message": frame(CONTINUATION, b"second")}.get(state, b"")
    events = own.feed(rest)
    if state == "more than one read takes":
        while own.rest is not None:
            events += own.feed(b"")
        assert set(events) == {(PING, b"")}
    elif rest:
        assert events == [(TEXT, b"firstsecond" if state == "a message" else b"hello")]
    else:
        assert events == []
    assert (own.error is not None) == (state == "a broken stream")


def test_bytes_that_are_held_for_one_connection_do_not_reach_another() -> None:
    shared = SharedParser(LIMIT, 4)
    own = shared.split()
    own.hold(HELLO)
    assert shared.feed(WORLD) == [(BINARY, b"world")]
    assert own.feed(b"") == [(TEXT, b"hello")]
