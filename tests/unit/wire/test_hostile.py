"""What a hostile peer sends, against the parser: no byte costs more than the limits allow.

Memory is counted by tracemalloc, time by the process's own CPU clock and as a ratio, so that a busy machine changes
nothing; the margins are wide because it is the growth that is tested.
"""

from __future__ import annotations

import gc
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import process_time

import pytest

from odac.wire.deflate import Inflater
from odac.wire.frames import BINARY, CONTINUATION, PING, TEXT, encode_masked_frame
from odac.wire.parser import Event, Parser
from tests.parsing import feed_all

MASK = b"\x9d\x01\xfe\x42"
KIB = 1024
MIB = 1024 * 1024


class Peak:
    """Bytes that were allocated at most, beyond what there was at the start."""

    bytes = 0


@contextmanager
def memory() -> Iterator[Peak]:
    gc.collect()
    peak = Peak()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield peak
        peak.bytes = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv1: bool = False) -> bytes:
    return encode_masked_frame(opcode, payload, MASK, fin=fin, rsv1=rsv1)


def declare(length: int, first: int = 0x82) -> bytes:
    return bytes((first, 0xFF)) + length.to_bytes(8, "big") + MASK


def cpu(action: Callable[[], object]) -> float:
    start = process_time()
    action()
    return process_time() - start


@pytest.mark.parametrize(
    ("length", "code"), [(2**63 - 1, 1009), (2**63, 1002), (2**64 - 1, 1002), (1 << 30, 1009), (MIB + 1, 1009)]
)
@pytest.mark.parametrize("before", [b"", frame(BINARY, b"x", fin=False)], ids=["alone", "in-mid-message"])
def test_declared_lengths_cost_nothing(length: int, code: int, before: bytes) -> None:
    """500 connections declare it and trickle: refused on the header, with less than 4 KiB each."""
    header = declare(length, 0x80 if before else 0x82)
    with memory() as peak:
        parsers = [Parser(MIB, 1024) for _ in range(500)]
        for parser in parsers:
            feed_all(parser, before + header)
            assert parser.error is not None
            assert parser.error.code == code
        for parser in parsers:
            for _ in range(100):
                assert feed_all(parser, b"x") == []
    assert peak.bytes < 500 * 4 * KIB


def test_a_declared_length_within_the_limit_is_not_allocated_ahead() -> None:
    with memory() as peak:
        parsers = [Parser(MIB, 1024) for _ in range(500)]
        for parser in parsers:
            parser.feed(declare(MIB))
            for _ in range(100):
                assert feed_all(parser, b"x") == []
            assert parser.error is None
    assert peak.bytes < 500 * 4 * KIB


@pytest.mark.parametrize("payload", [b"", b"x"], ids=["empty", "one-byte"])
def test_a_million_fragments_end_at_the_cap(payload: bytes) -> None:
    parser = Parser(MIB, 1024)
    first = frame(BINARY, payload, fin=False)
    flood = frame(CONTINUATION, payload, fin=False) * 1_000_000
    with memory() as peak:
        feed_all(parser, first + flood)
    assert parser.error is not None
    assert (parser.error.code, parser.error.reason) == (1008, "message of more than 1024 fragments (max_fragments)")
    assert peak.bytes < 2 * len(flood)  # the concatenation above is most of it
    with memory() as peak:
        assert feed_all(parser, flood) == []
    assert peak.bytes < 4 * KIB


def fragments(count: int) -> Callable[[], object]:
    data = frame(BINARY, b"x", fin=False) + frame(CONTINUATION, b"x", fin=False) * count + frame(CONTINUATION)

    def run() -> None:
        parser = Parser(MIB, count + 2)
        assert feed_all(parser, data) == [(BINARY, b"x" * (count + 1))]

    return run


def test_fragments_take_linear_time() -> None:
    cpu(fragments(1_000))
    few = min(cpu(fragments(5_000)) for _ in range(3))
    many = min(cpu(fragments(40_000)) for _ in range(3))
    assert many < 8 * 4 * few


def byte_by_byte(opcode: int, payload: bytes) -> Callable[[], object]:
    data = frame(opcode, payload)

    def run() -> list[Event]:
        parser = Parser(MIB, 16)
        events = [event for index in range(len(data)) for event in feed_all(parser, data[index : index + 1])]
        assert events == [(opcode, payload)]
        return events

    return run


@pytest.mark.parametrize(("opcode", "unit"), [(BINARY, b"\xffxx"), (TEXT, b"xxx"), (TEXT, "€".encode())])
def test_one_byte_per_segment_takes_linear_time_and_twice_the_message(opcode: int, unit: bytes) -> None:
    few = min(cpu(byte_by_byte(opcode, unit * 3_000)) for _ in range(3))
    many = min(cpu(byte_by_byte(opcode, unit * 24_000)) for _ in range(2))
    assert many < 8 * 4 * few
    run = byte_by_byte(opcode, unit * 24_000)
    with memory() as peak:
        run()
    assert peak.bytes < 2.25 * 72_000 + 16 * KIB


@pytest.mark.parametrize("step", [1000, 64 * KIB, 256 * KIB])
@pytest.mark.parametrize("opcode", [BINARY, TEXT])
def test_a_large_message_in_segments_takes_twice_its_size(step: int, opcode: int) -> None:
    payload = ("x" * 999 + "😀").encode() * 4000
    data = frame(opcode, payload)
    parser = Parser(len(payload), 16)
    with memory() as peak:
        received = [
            event for start in range(0, len(data), step) for event in feed_all(parser, data[start : start + step])
        ]
    assert received == [(opcode, payload)]
    assert peak.bytes < 2.25 * len(payload) + 3 * step + 512 * KIB


def test_many_messages_leave_nothing_behind() -> None:
    parser = Parser(MIB, 16, Inflater(MIB, takeover=False))
    compressor = zlib.compressobj(wbits=-15)
    compressed = (compressor.compress(bytes(5000)) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    data = (
        frame(TEXT, b"a", fin=False)
        + frame(PING, b"b")
        + frame(CONTINUATION, bytes(70_000))
        + frame(BINARY, compressed, rsv1=True)
    )
    for step in (1, 7, len(data)):
        for start in range(0, len(data), step):
            feed_all(parser, data[start : start + step])
    with memory() as peak:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10):
            feed_all(parser, data)
        gc.collect()
        left = tracemalloc.get_traced_memory()[0] - before
    assert parser.error is None
    assert left < KIB
    assert peak.bytes < 4 * len(data)


def test_a_compressed_bomb_ends_at_the_limit() -> None:
    """A gibibyte of zeros in a mebibyte, whole and in fragments: 1009, with about max_payload of memory."""
    compressor = zlib.compressobj(9, wbits=-15)
    first, second = (compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_SYNC_FLUSH) for _ in range(2))
    whole = frame(BINARY, first + second * 1000, rsv1=True)
    pieces = frame(BINARY, first, fin=False, rsv1=True) + frame(CONTINUATION, second, fin=False) * 1000
    for data in (whole, pieces):
        parser = Parser(MIB, 2000, Inflater(MIB))
        with memory() as peak:
            start = process_time()
            assert feed_all(parser, data) == []
            took = process_time() - start
        assert parser.error is not None
        assert parser.error.code == 1009
        assert took < 0.25  # 50 ms without the tracing of memory: see test_deflate
        assert peak.bytes < 6 * MIB


def test_pings_without_end_take_linear_time() -> None:
    def run(count: int) -> Callable[[], object]:
        data = frame(PING, b"0123456789") * count + b"\x89"
        return lambda: feed_all(Parser(MIB, 16), data)

    few = min(cpu(run(5_000)) for _ in range(3))
    many = min(cpu(run(40_000)) for _ in range(3))
    assert many < 8 * 4 * few


@pytest.mark.parametrize("split", [1, 2, 5, 6, 9])
def test_small_frames_that_straddle_every_segment_take_linear_time(split: int) -> None:
    """Each segment ends within a frame: what is left over is never copied more than once."""

    def run(count: int) -> Callable[[], object]:
        data = frame(TEXT, b"hello world") * count
        step = 64 * KIB + split

        def feed() -> None:
            parser = Parser(MIB, 16)
            total = sum(len(feed_all(parser, data[start : start + step])) for start in range(0, len(data), step))
            assert total == count

        return feed

    few = min(cpu(run(10_000)) for _ in range(3))
    many = min(cpu(run(80_000)) for _ in range(2))
    assert many < 8 * 4 * few
