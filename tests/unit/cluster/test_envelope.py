from __future__ import annotations

import pickle
import tracemalloc

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odac.brokers.base import MAX_PAYLOAD
from odac.cluster.envelope import (
    UNNUMBERED,
    Beat,
    Bye,
    Close,
    CountAnswer,
    CountQuestion,
    Envelope,
    GarbageError,
    Item,
    Move,
    Piece,
    RoomMessage,
    Tails,
    decode,
    encode,
    mark,
)
from odac.realtime.audience import Audience

ORIGIN = bytes(range(16))
TEXT_ = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
AUDIENCES = st.builds(
    Audience,
    rooms=st.lists(TEXT_, max_size=3).map(tuple),
    within=st.lists(TEXT_, max_size=3).map(tuple),
    excluded=st.frozensets(TEXT_, max_size=3),
)
TIMES = st.floats(allow_nan=False, allow_infinity=False)
UNSIGNED = st.integers(min_value=0, max_value=2**63 - 1)
ITEMS: st.SearchStrategy[Item] = st.one_of(
    st.builds(RoomMessage, AUDIENCES, st.just(2), st.binary(max_size=200)),
    st.builds(RoomMessage, AUDIENCES, st.just(1), TEXT_.map(str.encode)),
    st.builds(
        Close, AUDIENCES, st.sampled_from([1000, 1001, 3000, 4999]), TEXT_, UNSIGNED, TIMES, TIMES, st.booleans()
    ),
    st.builds(Beat, UNSIGNED, TIMES, st.booleans()),
    st.just(Bye()),
    st.builds(CountQuestion, UNSIGNED, AUDIENCES),
    st.builds(Move, AUDIENCES, st.just("room"), st.booleans()),
    st.builds(CountAnswer, UNSIGNED, UNSIGNED),
    st.builds(Tails, TIMES, st.lists(st.tuples(TEXT_, UNSIGNED, TIMES), max_size=3)),
    st.builds(Piece, UNSIGNED, UNSIGNED, st.integers(1, 100), st.binary(max_size=200)),
)
ENVELOPES = st.builds(
    Envelope,
    version=st.just(2),
    origin=st.binary(min_size=16, max_size=16),
    sequence=UNSIGNED,
    number=st.integers(min_value=-1, max_value=2**63 - 1),
    shared=st.booleans(),
    items=st.lists(ITEMS, max_size=5),
)


def envelope(*items: Item, number: int = 0) -> Envelope:
    return Envelope(2, ORIGIN, 7, number, False, list(items))


@settings(deadline=None)
@given(ENVELOPES)
def test_what_is_encoded_comes_back(original: Envelope) -> None:
    assert decode(encode(original)) == original


@settings(deadline=None)
@given(ENVELOPES)
def test_every_envelope_begins_with_the_mark_of_its_origin_and_of_no_other(original: Envelope) -> None:
    payload = encode(original)
    assert payload.startswith(mark(original.origin))
    other = bytes(byte ^ 1 for byte in original.origin)
    assert not payload.startswith(mark(other))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_garbage_is_garbage_and_nothing_else(payload: bytes) -> None:
    with pytest.raises(GarbageError):
        decode(payload)


@settings(max_examples=300, deadline=None)
@given(ENVELOPES, st.data())
def test_a_damaged_envelope_is_decoded_or_refused_and_never_anything_else(
    original: Envelope, data: st.DataObject
) -> None:
    payload = bytearray(encode(original))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] = data.draw(st.integers(0, 255))
    try:
        result = decode(bytes(payload))
    except GarbageError:
        return
    assert isinstance(result, Envelope)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        pickle.dumps({"room": "a"}),
        b'{"room": "a"}',
        b"\x96\x02\xc4\x10",
        encode(envelope())[:-1],
        encode(envelope()) + b"\0",
        msgspec.msgpack.encode((1, ORIGIN, 1, 0, False, [])),
        msgspec.msgpack.encode((2, ORIGIN[:15], 1, 0, False, [])),
        msgspec.msgpack.encode((2, ORIGIN, -1, 0, False, [])),
        msgspec.msgpack.encode((2, ORIGIN, 1, -2, False, [])),
        msgspec.msgpack.encode((2, ORIGIN, 1, 0, False, [], "more")),
        msgspec.msgpack.encode((2, ORIGIN, 1, 0, False, [(99,)])),
        msgspec.msgpack.encode((2, ORIGIN, 1, 0, False, [(0, ((), (), ()), 9, b"ping frames are no messages")])),
        msgspec.msgpack.encode((2, ORIGIN, 1, 0, False, [(0, ((), (), ()), 1, b"\xff not UTF-8")])),
        msgspec.msgpack.encode((2, ORIGIN, 1, 0, False, [(1, ((), (), ()), 1006, "", 1, 0.0, 0.0)])),
        msgspec.msgpack.encode((2, ORIGIN, 1, 0, False, [(1, ((), (), ()), 1000, "é" * 62, 1, 0.0, 0.0)])),
        msgspec.msgpack.encode((2, ORIGIN, 1, 0, False, [(5, 1, -1)])),
        b"\x96\x02\xc4\x10" + ORIGIN + b"\x01\x00\xc2" + b"\x91" * 100_000,
    ],
    ids=lambda payload: repr(payload[:24]),
)
def test_what_no_process_of_this_version_publishes_is_refused(payload: bytes) -> None:
    with pytest.raises(GarbageError):
        decode(payload)


def test_text_that_is_utf8_passes() -> None:
    item = RoomMessage(Audience(("a",)), 1, "é€😀".encode())
    assert decode(encode(envelope(item, number=UNNUMBERED))).items == [item]


@pytest.mark.parametrize("head", [b"", mark(ORIGIN)], ids=["random", "like ours"])
def test_ten_mebibytes_are_dropped_before_they_are_parsed(head: bytes) -> None:
    payload = head + b"\x91" * (10 * 1024 * 1024)
    tracemalloc.start()
    try:
        with pytest.raises(GarbageError, match=str(MAX_PAYLOAD)):
            decode(payload)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024, "ten million lists of one would have begun"
