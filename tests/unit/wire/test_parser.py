from __future__ import annotations

import sys
import zlib
from collections.abc import Callable

import pytest

from odac.errors import ProtocolError
from odac.wire.deflate import Inflater
from odac.wire.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    check_close,
    encode_frame,
    encode_masked_frame,
)
from odac.wire.parser import Event, Parser, SharedParser

MASK = b"\x9d\x01\xfe\x42"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv1: bool = False) -> bytes:
    return encode_masked_frame(opcode, payload, MASK, fin=fin, rsv1=rsv1)


def header(first: int, length: int, *, size: int | None = None) -> bytes:
    """The header of a masked frame, with a length field of ``size`` bytes, whatever is right for the length."""
    size = size if size is not None else 0 if length < 126 else 2 if length < 65536 else 8
    field = bytes((0x80 | (length if size == 0 else 126 if size == 2 else 127),))
    return bytes((first,)) + field + (length.to_bytes(size, "big") if size else b"") + MASK


def make(**changes: int) -> Parser:
    return Parser(changes.get("max_payload", 1 << 20), changes.get("max_fragments", 16))


def at_once(parser: Parser, data: bytes) -> list[Event]:
    return parser.feed(data)


def byte_by_byte(parser: Parser, data: bytes) -> list[Event]:
    return [event for index in range(len(data)) for event in parser.feed(data[index : index + 1])]


def in_sevens(parser: Parser, data: bytes) -> list[Event]:
    return [event for index in range(0, len(data), 7) for event in parser.feed(data[index : index + 7])]


def after_another(parser: Parser, data: bytes) -> list[Event]:
    """With a frame before it and its own first byte arriving together."""
    before = frame(BINARY, b"before")
    events = parser.feed(before + data[:1]) + parser.feed(data[1:])
    assert events.pop(0) == (BINARY, b"before")
    return events


Feed = Callable[[Parser, bytes], list[Event]]
feeds = pytest.mark.parametrize(
    "feed", [at_once, byte_by_byte, in_sevens, after_another], ids=lambda feed: feed.__name__
)

ACCEPTED: dict[str, tuple[bytes, list[Event]]] = {
    "nothing": (b"", []),
    "text": (frame(TEXT, b"Hello"), [(TEXT, b"Hello")]),
    "empty text": (frame(TEXT), [(TEXT, b"")]),
    "binary": (frame(BINARY, b"\xff\x00"), [(BINARY, b"\xff\x00")]),
    "empty binary": (frame(BINARY), [(BINARY, b"")]),
    "text beyond ASCII": (frame(TEXT, "κόσμε 😀".encode()), [(TEXT, "κόσμε 😀".encode())]),
    "125 bytes": (frame(TEXT, b"x" * 125), [(TEXT, b"x" * 125)]),
    "126 bytes": (frame(TEXT, b"x" * 126), [(TEXT, b"x" * 126)]),
    "126 bytes beyond ASCII": (frame(TEXT, "é".encode() * 63), [(TEXT, "é".encode() * 63)]),
    "127 bytes": (frame(BINARY, b"x" * 127), [(BINARY, b"x" * 127)]),
    "65535 bytes": (frame(BINARY, b"x" * 65535), [(BINARY, b"x" * 65535)]),
    "65536 bytes": (frame(BINARY, b"x" * 65536), [(BINARY, b"x" * 65536)]),
    "200,000 bytes beyond ASCII": (frame(TEXT, "😀é ".encode() * 28571), [(TEXT, "😀é ".encode() * 28571)]),
    "ping": (frame(PING, b"p"), [(PING, b"p")]),
    "empty pong": (frame(PONG), [(PONG, b"")]),
    "largest ping": (frame(PING, bytes(125)), [(PING, bytes(125))]),
    "close": (frame(CLOSE, b"\x03\xe8bye"), [(CLOSE, b"\x03\xe8bye")]),
    "empty close": (frame(CLOSE), [(CLOSE, b"")]),
    "nothing after a close": (frame(CLOSE) + frame(TEXT, b"late") + b"\xff\xff\xff", [(CLOSE, b"")]),
    "many": (
        frame(TEXT, b"a") * 3 + frame(BINARY, b"b" * 200) + frame(PING, b"c"),
        [(TEXT, b"a")] * 3 + [(BINARY, b"b" * 200), (PING, b"c")],
    ),
    "two fragments": (frame(TEXT, b"Hel", fin=False) + frame(CONTINUATION, b"lo"), [(TEXT, b"Hello")]),
    "empty fragments": (
        frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) + frame(CONTINUATION),
        [(TEXT, b"")],
    ),
    "one of the fragments is not empty": (
        frame(BINARY, fin=False) + frame(CONTINUATION, b"x", fin=False) + frame(CONTINUATION),
        [(BINARY, b"x")],
    ),
    "control frames between fragments": (
        frame(TEXT, b"a", fin=False)
        + frame(PING, b"1")
        + frame(CONTINUATION, b"b", fin=False)
        + frame(PONG, b"2")
        + frame(CONTINUATION, b"c")
        + frame(TEXT, b"next"),
        [(PING, b"1"), (PONG, b"2"), (TEXT, b"abc"), (TEXT, b"next")],
    ),
    "close between fragments": (frame(TEXT, b"a", fin=False) + frame(CLOSE), [(CLOSE, b"")]),
    "a character across fragments": (
        frame(TEXT, b"\xf0\x9f", fin=False)
        + frame(CONTINUATION, b"\x98", fin=False)
        + frame(CONTINUATION, b"\x80", fin=False)
        + frame(CONTINUATION, b"!"),
        [(TEXT, "😀!".encode())],
    ),
    "fragments after a whole message": (
        frame(TEXT, b"a") + frame(TEXT, b"b", fin=False) + frame(CONTINUATION, b"c") + frame(TEXT, b"d"),
        [(TEXT, b"a"), (TEXT, b"bc"), (TEXT, b"d")],
    ),
}


@feeds
@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str, feed: Feed) -> None:
    data, expected = ACCEPTED[name]
    parser = make()
    assert feed(parser, data) == expected
    assert parser.error is None


def refused(code: int, data: bytes, *before: Event) -> tuple[int, bytes, list[Event]]:
    return code, data, list(before)


REFUSED: dict[str, tuple[int, bytes, list[Event]]] = {
    "RSV1 without negotiation": refused(1002, header(0xC1, 0)),
    "RSV2": refused(1002, header(0xA1, 0)),
    "RSV3": refused(1002, header(0x91, 0)),
    "all reserved bits": refused(1002, header(0xF2, 0)),
    "RSV1 on a ping": refused(1002, header(0xC9, 0)),
    **{
        f"opcode {opcode:#x}": refused(1002, header(0x80 | opcode, 0)) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    "no mask": refused(1002, encode_frame(TEXT, b"Hello")),
    "no mask, empty": refused(1002, encode_frame(TEXT, b"")),
    "no mask, long": refused(1002, encode_frame(BINARY, bytes(300))),
    "no mask on a close": refused(1002, encode_frame(CLOSE, b"")),
    "5 in two bytes": refused(1002, header(0x81, 5, size=2) + b"Hello"),
    "125 in two bytes": refused(1002, header(0x82, 125, size=2) + bytes(125)),
    "125 in eight bytes": refused(1002, header(0x82, 125, size=8) + bytes(125)),
    "65535 in eight bytes": refused(1002, header(0x82, 65535, size=8)),
    "0 in eight bytes": refused(1002, header(0x82, 0, size=8)),
    "ping of 126 bytes": refused(1002, header(0x89, 126) + bytes(126)),
    "close of 65536 bytes": refused(1002, header(0x88, 65536)),
    "ping of 5 in two bytes": refused(1002, header(0x89, 5, size=2) + b"Hello"),
    "fragmented ping": refused(1002, header(0x09, 0)),
    "fragmented close": refused(1002, header(0x08, 0)),
    "continuation first": refused(1002, frame(CONTINUATION, b"x")),
    "continuation after a whole message": refused(1002, frame(TEXT, b"a") + frame(CONTINUATION, b"x"), (TEXT, b"a")),
    "continuation after the last fragment": refused(
        1002, frame(TEXT, b"a", fin=False) + frame(CONTINUATION) + frame(CONTINUATION), (TEXT, b"a")
    ),
    "new message within one": refused(1002, frame(TEXT, b"a", fin=False) + frame(TEXT, b"b")),
    "new fragmented message within one": refused(1002, frame(TEXT, b"a", fin=False) + frame(BINARY, b"b", fin=False)),
    "events before the break are kept": refused(
        1002, frame(TEXT, b"a") + frame(PING, b"b") + header(0x83, 0) + frame(TEXT, b"late"), (TEXT, b"a"), (PING, b"b")
    ),
    "text of a lone continuation byte": refused(1007, frame(TEXT, b"\x80")),
    "text that ends in mid-character": refused(1007, frame(TEXT, b"abc\xe2\x82")),
    "overlong": refused(1007, frame(TEXT, b"\xc0\xaf")),
    "surrogate": refused(1007, frame(TEXT, b"\xed\xa0\x80")),
    "beyond U+10FFFF": refused(1007, frame(TEXT, b"\xf4\x90\x80\x80")),
    "long text with one bad byte": refused(1007, frame(TEXT, b"x" * 300 + b"\xff" + b"x" * 300)),
    "long text that ends in mid-character": refused(1007, frame(TEXT, b"x" * 70000 + b"\xc3")),
    "fragmented text that ends in mid-character": refused(
        1007, frame(TEXT, b"\xe2", fin=False) + frame(CONTINUATION, b"\x82")
    ),
    "bad text across fragments": refused(1007, frame(TEXT, b"\xe2", fin=False) + frame(CONTINUATION, b"x")),
    "ends in mid-character with an empty fragment": refused(
        1007, frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION)
    ),
    "length over max_payload": refused(1009, header(0x82, (1 << 20) + 1)),
    "text over max_payload": refused(1009, header(0x81, 1 << 30)),
    "2^63-1": refused(1009, header(0x82, 2**63 - 1)),
    "2^63": refused(1002, header(0x82, 2**63)),
    "2^64-1": refused(1002, header(0x82, 2**64 - 1)),
    "2^63-1 in mid-message": refused(1009, frame(BINARY, b"x", fin=False) + header(0x80, 2**63 - 1)),
    "2^64-1 in mid-message": refused(1002, frame(BINARY, b"x", fin=False) + header(0x80, 2**64 - 1)),
    "fragments over max_payload": refused(1009, frame(BINARY, bytes(1 << 19), fin=False) + header(0x80, (1 << 19) + 1)),
    "too many fragments": refused(
        1008, frame(BINARY, fin=False) + frame(CONTINUATION, fin=False) * 15 + header(0x80, 0)
    ),
}


@feeds
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, feed: Feed) -> None:
    code, data, before = REFUSED[name]
    parser = make()
    assert feed(parser, data) == before
    assert parser.error is not None
    assert parser.error.code == code
    check_close(parser.error.code, parser.error.reason)  # it fits into a close frame
    assert parser.error.__traceback__ is None
    assert parser.error.__context__ is None


@pytest.mark.parametrize("data", [frame(TEXT, b"late"), frame(CLOSE), b"\x81", b"", bytes(1000)], ids=repr)
def test_nothing_is_read_after_the_break(data: bytes) -> None:
    parser = make()
    parser.feed(header(0x83, 0))
    error = parser.error
    assert parser.feed(data) == []
    assert parser.feed(data) == []
    assert parser.error is error


@pytest.mark.parametrize("data", [frame(TEXT, b"late"), b"\xff\xff", frame(CLOSE)])
def test_nothing_is_read_after_a_close_frame(data: bytes) -> None:
    parser = make()
    assert parser.feed(frame(CLOSE, b"\x03\xe8")) == [(CLOSE, b"\x03\xe8")]
    assert parser.feed(data) == []
    assert parser.error is None


@pytest.mark.parametrize(
    ("first_bytes", "code"),
    [
        (b"\x83", None),  # one byte alone decides nothing
        (b"\x83\x80", 1002),
        (b"\x81\x05", 1002),
        (b"\x89\xfe", 1002),
        (b"\x80\x80", 1002),
        (header(0x82, 1 << 30)[:-1], None),
        (header(0x82, 1 << 30), 1009),
        (frame(TEXT, b"\xff" + bytes(1000))[:9], 1007),
        (frame(TEXT, b"\xed\xa0" + bytes(10))[:7], None),
        (frame(TEXT, b"\xed\xa0" + bytes(10))[:8], 1007),
        (frame(TEXT, b"\xf4\x90" + bytes(10))[:8], 1007),
    ],
)
def test_what_is_wrong_is_found_as_soon_as_it_can_be(first_bytes: bytes, code: int | None) -> None:
    parser = make()
    assert byte_by_byte(parser, first_bytes) == []
    assert (parser.error and parser.error.code) == code


@pytest.mark.parametrize("limit", [1, 5, 125, 126, 300])
def test_max_payload_is_exact(limit: int) -> None:
    for size, fits in ((limit - 1, True), (limit, True), (limit + 1, False)):
        parser = make(max_payload=limit)
        assert parser.feed(frame(BINARY, bytes(size))) == ([(BINARY, bytes(size))] if fits else [])
        assert (parser.error is None) is fits


def test_control_frames_do_not_count_as_payload() -> None:
    parser = make(max_payload=1)
    assert parser.feed(frame(PING, bytes(100))) == [(PING, bytes(100))]
    assert parser.feed(frame(TEXT, b"a", fin=False) + frame(PING, bytes(100)) + frame(CONTINUATION)) == [
        (PING, bytes(100)),
        (TEXT, b"a"),
    ]


def test_max_fragments_is_exact() -> None:
    parser = make(max_fragments=3)
    whole = frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b", fin=False) + frame(CONTINUATION, b"c")
    for _ in range(3):
        assert parser.feed(whole) == [(TEXT, b"abc")]
    parser.feed(frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b", fin=False) * 2 + frame(CONTINUATION, b"c"))
    assert str(parser.error) == "1008 message of more than 3 fragments (max_fragments)"


def test_reasons_name_the_setting() -> None:
    parser = make()
    parser.feed(header(0x82, 2097152))
    assert str(parser.error) == "1009 message of 2097152 bytes: at most 1048576 (max_payload)"


# The client's side


def test_a_client_takes_unmasked_frames() -> None:
    parser = Parser(1 << 20, 16, masked=False)
    assert parser.feed(encode_frame(TEXT, b"Hello") + encode_frame(PING, b"x")) == [(TEXT, b"Hello"), (PING, b"x")]
    fragments = encode_frame(TEXT, b"Hel", fin=False) + encode_frame(CONTINUATION, "lö".encode())
    assert byte_by_byte(parser, fragments) == [(TEXT, "Hellö".encode())]
    assert parser.feed(encode_frame(BINARY, bytes(70_000))) == [(BINARY, bytes(70_000))]
    assert parser.error is None


@pytest.mark.parametrize("payload", [b"", b"Hello", bytes(300)])
def test_a_client_refuses_masked_frames(payload: bytes) -> None:
    parser = Parser(1 << 20, 16, masked=False)
    assert parser.feed(frame(TEXT, payload)) == []
    assert str(parser.error) == "1002 masked frame from a server"


# Compressed messages


def deflate(*messages: bytes, final: bool = False) -> list[bytes]:
    compressor = zlib.compressobj(wbits=-15)
    out = []
    for message in messages:
        data = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
        out.append(data[:-4])
    return out


def compressing(max_payload: int = 1 << 20) -> Parser:
    return Parser(max_payload, 16, Inflater(max_payload))


@feeds
def test_compressed_messages(feed: Feed) -> None:
    first, second = deflate("héllo ".encode() * 100, b"hello " * 100)
    data = (
        frame(TEXT, first, rsv1=True)
        + frame(TEXT, b"plain")
        + frame(TEXT, second[:3], fin=False, rsv1=True)
        + frame(PING)
        + frame(CONTINUATION, second[3:], fin=False)
        + frame(CONTINUATION)
    )
    parser = compressing()
    assert feed(parser, data) == [
        (TEXT, "héllo ".encode() * 100),
        (TEXT, b"plain"),
        (PING, b""),
        (TEXT, b"hello " * 100),
    ]
    assert parser.error is None


@feeds
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, deflate(b"\xff")[0], rsv1=True), 1007),
        (frame(TEXT, deflate(b"abc\xc3")[0], rsv1=True), 1007),
        (frame(TEXT, b"\xff\xff\xff", rsv1=True), 1007),
        (frame(TEXT, deflate(bytes(1 << 21))[0], rsv1=True), 1009),
        (header(0xC1, 1 << 21), 1009),
        (header(0xC9, 0), 1002),
        (frame(TEXT, b"\x00", fin=False, rsv1=True) + header(0xC0, 0), 1002),
        (header(0xE1, 0), 1002),
    ],
    ids=["bad-text", "half-character", "not-deflate", "inflates-too-far", "too-long", "ping", "continuation", "rsv2"],
)
def test_compressed_messages_refused(feed: Feed, data: bytes, code: int) -> None:
    parser = compressing()
    assert feed(parser, data) == []
    assert parser.error is not None
    assert parser.error.code == code


def test_inflated_text_fails_at_its_first_bad_byte() -> None:
    compressor = zlib.compressobj(wbits=-15)
    good = compressor.compress(b"x" * 1000 + b"\xff") + compressor.flush(zlib.Z_SYNC_FLUSH)
    parser = compressing()
    parser.feed(frame(TEXT, good, fin=False, rsv1=True))
    assert parser.error is not None
    assert parser.error.code == 1007


def test_data_that_does_not_compress_may_be_as_long_as_max_payload() -> None:
    noise = b"".join(zlib.crc32(index.to_bytes(4, "big")).to_bytes(4, "big") for index in range(1 << 14))
    (data,) = deflate(noise)
    assert len(data) > len(noise)
    parser = compressing(len(noise))
    assert parser.feed(frame(BINARY, data, rsv1=True)) == [(BINARY, noise)]
    parser = compressing(len(noise) - 1)
    assert parser.feed(frame(BINARY, data, rsv1=True)) == []
    assert parser.error is not None
    assert parser.error.code == 1009


# Memory


def test_an_idle_parser_is_small() -> None:
    parser = make()
    parser.feed(frame(TEXT, b"a", fin=False))
    parser.feed(frame(CONTINUATION, bytes(70_000)))
    parser.feed(b"")
    assert sys.getsizeof(parser) <= 96
    assert not hasattr(parser, "__dict__")
    assert parser._state is None


def test_the_error_of_a_broken_stream_keeps_nothing_alive() -> None:
    parser = compressing()
    parser.feed(frame(TEXT, b"\xff" * 1000))
    assert isinstance(parser.error, ProtocolError)
    assert parser._inflater is None
    assert parser.error.__traceback__ is None


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize(
    "sizes", [(1,), (100, 1), (16_384,), (16_383, 16_385), (1, 70_000, 3), (65_536, 1, 1)], ids=str
)
def test_a_long_message_in_pieces_of_any_size(opcode: int, sizes: tuple[int, ...]) -> None:
    """Large pieces are kept as they come and small ones together: the order is the sender's all the same."""
    message = bytes(ord("a") + number % 26 for number in range(300_001))
    first, second = message[:123_456], message[123_456:]
    stream = (
        encode_masked_frame(opcode, first, b"\x01\x02\x03\x04", fin=False)
        + encode_masked_frame(PING, b"between", b"\x05\x06\x07\x08")
        + encode_masked_frame(CONTINUATION, second, b"\x09\x0a\x0b\x0c")
    )
    parser = Parser(1 << 20, 16)
    events: list[tuple[int, bytes]] = []
    start, turn = 0, 0
    while start < len(stream):
        size = sizes[turn % len(sizes)]
        events += parser.feed(stream[start : start + size])
        start, turn = start + size, turn + 1
    assert parser.error is None
    assert events == [(PING, b"between"), (opcode, message)]


def in_turns(parser: Parser, data: bytes) -> list[list[Event]]:
    turns = [parser.feed(data)]
    while parser.rest is not None:
        turns.append(parser.feed(b""))
    return turns


@pytest.mark.parametrize("inside", [False, True], ids=["messages", "within-a-message"])
def test_a_read_with_many_frames_is_taken_in_turns(inside: bool) -> None:
    begun = frame(TEXT, b"a", fin=False) if inside else b""
    turns = in_turns(make(), begun + frame(PING, b"x") * 10_000)
    assert max(map(len, turns)) <= 1024
    assert [event for events in turns for event in events] == [(PING, b"x")] * 10_000


def test_what_one_read_inflates_to_is_taken_in_turns() -> None:
    parser = Parser(1 << 20, 16, Inflater(1 << 20))
    data = frame(BINARY, deflate(bytes(1 << 20))[0], rsv1=True)
    turns = in_turns(parser, data * 50)
    assert [len(events) for events in turns] == [1] * 50
    assert parser.feed(data) == [(BINARY, bytes(1 << 20))]


def test_what_comes_behind_a_rest_stands_behind_it() -> None:
    parser = make()
    whole = frame(TEXT, b"last")
    events = parser.feed(frame(TEXT, b"first") * 2000)
    assert parser.rest is not None
    events += parser.feed(whole)
    assert events == [(TEXT, b"first")] * 2000 + [(TEXT, b"last")]
    assert parser.feed(whole) == [(TEXT, b"last")]


def test_nothing_is_left_of_a_rest_behind_a_close_frame_or_an_error() -> None:
    for last in (frame(CLOSE), header(0x83, 0)):
        parser = make()
        parser.feed(frame(TEXT, b"x") * 1030 + last + frame(TEXT, b"y") * 3000)
        events = parser.feed(b"")
        assert [event for event in events if event[0] == TEXT] == [(TEXT, b"x")] * 6
        assert parser.rest is None
        assert parser.feed(frame(TEXT, b"y")) == []


# One parser for several connections between two messages

STREAM = (
    frame(TEXT, b"one")
    + frame(PING, b"p")
    + frame(TEXT, b"tw", fin=False)
    + frame(CONTINUATION, b"o")
    + frame(BINARY, bytes(300))
    + frame(TEXT, "grüß".encode())
)
GOT = [(TEXT, b"one"), (PING, b"p"), (TEXT, b"two"), (BINARY, bytes(300)), (TEXT, "grüß".encode())]


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_a_parser_that_is_split_off_goes_on_and_the_shared_one_is_as_new(cut: int) -> None:
    shared = SharedParser(1 << 20, 16)
    events = shared.feed(STREAM[:cut])
    parser = shared.split() if shared.whole_limit < 0 else shared
    assert shared.feed(STREAM) == GOT  # another connection
    assert shared.whole_limit >= 0
    assert events + parser.feed(STREAM[cut:]) == GOT


@pytest.mark.parametrize("broken", [b"\x83\x80abcd", frame(TEXT, b"\xff"), frame(CLOSE, b""), header(0x81, 1 << 21)])
def test_the_end_of_one_stream_is_not_the_end_of_the_others(broken: bytes) -> None:
    shared = SharedParser(1 << 20, 16)
    ended = shared.feed(broken)
    assert shared.whole_limit < 0
    own = shared.split()
    assert (own.error is None) is (ended == [(CLOSE, b"")])
    assert own.feed(STREAM) == []
    assert (shared.error, shared.rest, shared.feed(STREAM)) == (None, None, GOT)


def test_what_a_split_parser_is_told_concerns_no_other() -> None:
    shared = SharedParser(1 << 20, 16)
    own = shared.split()
    own.limit(2)
    own.hold(frame(TEXT, b"held"))
    assert shared.feed(STREAM) == GOT
    assert own.feed(b"") == []
    assert own.error is not None
    assert own.error.code == 1009
