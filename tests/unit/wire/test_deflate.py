from __future__ import annotations

import sys
import tracemalloc
import zlib
from time import process_time

import pytest

from odac.errors import ProtocolError
from odac.wire.deflate import CLIENT_BITS, Inflater, deflate_frame, negotiate
from odac.wire.frames import BINARY, PONG, TEXT, encode_frame

BASE = "permessage-deflate; server_no_context_takeover"


@pytest.mark.parametrize(
    ("offer", "response", "server_bits"),
    [
        ("permessage-deflate", BASE, 15),
        ("permessage-deflate; client_max_window_bits", f"{BASE}; client_max_window_bits={CLIENT_BITS}", 15),
        ("permessage-deflate; client_max_window_bits=15", f"{BASE}; client_max_window_bits={CLIENT_BITS}", 15),
        ("permessage-deflate; client_max_window_bits=9", f"{BASE}; client_max_window_bits=9", 15),
        ("permessage-deflate; client_max_window_bits=8", f"{BASE}; client_max_window_bits=8", 15),
        ("permessage-deflate; server_max_window_bits=10", f"{BASE}; server_max_window_bits=10", 10),
        ("permessage-deflate; server_max_window_bits=8", f"{BASE}; server_max_window_bits=8", 8),
        ("permessage-deflate; server_no_context_takeover", BASE, 15),
        ("permessage-deflate; client_no_context_takeover", f"{BASE}; client_no_context_takeover", 15),
        ('permessage-deflate; server_max_window_bits="11"', f"{BASE}; server_max_window_bits=11", 11),
        (
            (
                "permessage-deflate; client_no_context_takeover; server_no_context_takeover;"
                " client_max_window_bits=10; server_max_window_bits=12"
            ),
            f"{BASE}; client_no_context_takeover; server_max_window_bits=12; client_max_window_bits=10",
            12,
        ),
        ("  permessage-deflate\t;client_no_context_takeover  ", f"{BASE}; client_no_context_takeover", 15),
        ("x-other; a=b, permessage-deflate", BASE, 15),
        ("permessage-deflate; unknown, permessage-deflate", BASE, 15),
        ("permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=9", None, 9),
    ],
)
def test_accepted_offers(offer: str, response: str | None, server_bits: int) -> None:
    agreed = negotiate([offer])
    assert agreed is not None
    assert agreed.server_bits == server_bits
    if response is not None:
        assert agreed.response == response


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "permessage-deflate2",
        "Permessage-Deflate",
        "x-webkit-deflate-frame",
        "permessage-deflate; unknown",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; server_max_window_bits=1e1",
        "permessage-deflate; server_max_window_bits=99999999999999999999",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; client_max_window_bits=0",
        "permessage-deflate; client_max_window_bits=-9",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; client_max_window_bits=x",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; server_max_window_bits=٩",
        'permessage-deflate; server_max_window_bits="1\\2"',
        "permessage-deflate;",
        "permessage-deflate; ; client_no_context_takeover",
        "permessage-deflate client_no_context_takeover",
        "," * 10_000 + "permessage-deflate",
        "permessage-deflate" + ";" * 10_000,
    ],
)
def test_declined_offers(offer: str) -> None:
    assert negotiate([offer]) is None


def test_offers_over_several_header_lines() -> None:
    agreed = negotiate(
        ["permessage-deflate; server_max_window_bits=99", "permessage-deflate; server_max_window_bits=9"]
    )
    assert agreed is not None
    assert agreed.server_bits == 9
    assert negotiate([]) is None


def compress(*messages: bytes, bits: int = 15, takeover: bool = True) -> list[bytes]:
    out = []
    compressor = zlib.compressobj(wbits=-bits)
    for message in messages:
        if not takeover:
            compressor = zlib.compressobj(wbits=-bits)
        out.append((compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4])
    return out


@pytest.mark.parametrize("bits", [9, 10, 12, 15])
@pytest.mark.parametrize("takeover", [True, False], ids=["takeover", "no-takeover"])
def test_inflates_both_kinds_of_context(bits: int, takeover: bool) -> None:
    messages = [b"hello " * 2000, b"", b"hello " * 10, bytes(range(256)) * 40, b"hello " * 2000]
    inflater = Inflater(1 << 20, bits, takeover=takeover)
    for message, data in zip(messages, compress(*messages, bits=bits, takeover=takeover), strict=True):
        assert inflater.inflate(data, last=True) == message
        if not takeover:
            assert inflater._zlib is None


def test_context_is_really_forgotten() -> None:
    first, second = compress(b"hello hello hello hello", b"hello hello hello hello")
    inflater = Inflater(1 << 20, takeover=False)
    assert inflater.inflate(first, last=True) == b"hello hello hello hello"
    with pytest.raises(ProtocolError, match="does not inflate"):
        inflater.inflate(second, last=True)


def test_inflates_in_parts() -> None:
    message = b"hello " * 1000
    (data,) = compress(message)
    inflater = Inflater(1 << 20)
    parts = [inflater.inflate(data[index : index + 1], last=False) for index in range(len(data))]
    parts.append(inflater.inflate(b"", last=True))
    assert b"".join(parts) == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("f248cdc9c90700", b"Hello"),
        ("f200110000", None),
        ("000500faff48656c6c6f00", b"Hello"),
        ("f348cdc9c9070000", b"Hello"),
        ("f24805000000ffffcac9c90700", b"Hello"),
        ("00", b""),
    ],
    ids=["one-block", "second-of-two", "stored", "final-block", "two-blocks", "empty"],
)
def test_examples_of_rfc_7692_section_7_2_3(data: str, message: bytes | None) -> None:
    inflater = Inflater(1 << 20)
    if message is None:  # 7.2.3.2: the second message refers to the first
        assert inflater.inflate(bytes.fromhex("f248cdc9c90700"), last=True) == b"Hello"
        message = b"Hello"
    assert inflater.inflate(bytes.fromhex(data), last=True) == message


def final(message: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(message) + compressor.flush()


def test_messages_go_on_after_a_final_block() -> None:
    inflater = Inflater(1 << 20)
    assert inflater.inflate(final(b"one"), last=True) == b"one"  # without the byte that section 7.2.3.4 adds
    assert inflater.inflate(final(b"two") + b"\x00", last=True) == b"two"
    assert inflater.inflate(final(b"three ") + final(b"four") + b"\x00", last=True) == b"three four"
    assert inflater.inflate(compress(b"five")[0], last=True) == b"five"


def test_final_blocks_are_bounded() -> None:
    """Each makes a new zlib object and copies the rest: half a million of them in 1 MiB would take minutes."""
    inflater = Inflater(1 << 20)
    start = process_time()
    with pytest.raises(ProtocolError, match="final blocks") as caught:
        inflater.inflate(final(b"") * 500_000, last=True)
    assert caught.value.code == 1008
    assert process_time() - start < 1


@pytest.mark.parametrize(
    "data", [b"\xff", b"\x06", b"\x00\x01\x00\x00\x00"], ids=["block-type", "tree", "stored-length"]
)
def test_what_is_not_deflate_data_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        Inflater(1 << 20).inflate(data, last=True)
    assert caught.value.code == 1007


@pytest.mark.parametrize("limit", [1, 1000, 65536])
def test_limit_is_exact(limit: int) -> None:
    assert Inflater(limit).inflate(compress(bytes(limit))[0], last=True) == bytes(limit)
    with pytest.raises(ProtocolError) as caught:
        Inflater(limit).inflate(compress(bytes(limit + 1))[0], last=True)
    assert caught.value.code == 1009
    assert str(limit) in caught.value.reason
    inflater = Inflater(limit)
    for _ in range(3):  # the limit is of each message
        assert inflater.inflate(compress(bytes(limit), takeover=False)[0], last=True) == bytes(limit)


def bomb(mebibytes: int) -> bytes:
    compressor = zlib.compressobj(9, wbits=-15)
    first, second, third = (compressor.compress(bytes(1 << 20)) + compressor.flush(zlib.Z_SYNC_FLUSH) for _ in range(3))
    assert second == third
    return first + second * (mebibytes - 1)


def test_a_gibibyte_of_zeros_costs_no_more_than_the_limit() -> None:
    """It is refused where it passes the limit: what comes behind is never inflated."""
    data = bomb(1024)
    inflater = Inflater(1 << 20)
    start = process_time()
    with pytest.raises(ProtocolError) as caught:
        inflater.inflate(data, last=True)
    assert caught.value.code == 1009
    assert process_time() - start < 0.5, "the whole of it takes seconds"
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            Inflater(1 << 20).inflate(data, last=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20  # the compressed rest is 1 MiB of it


def test_an_idle_inflater_holds_no_zlib_object() -> None:
    inflater = Inflater(1 << 20, takeover=False)
    assert inflater._zlib is None
    inflater.inflate(compress(b"x" * 1000)[0], last=True)
    assert inflater._zlib is None
    assert sys.getsizeof(inflater) <= 96


@pytest.mark.parametrize("bits", range(8, 16))
def test_deflated_frames_inflate_within_their_window(bits: int) -> None:
    payload = b"".join(b"%d hello " % (index % 500) for index in range(3000))
    frame = deflate_frame(TEXT, payload, bits)
    assert frame[0] == 0xC1
    assert len(frame) < len(payload)
    body = frame[4:] if frame[1] == 126 else frame[10:] if frame[1] == 127 else frame[2:]
    assert zlib.decompressobj(-bits).decompress(body + b"\x00\x00\xff\xff") == payload


@pytest.mark.parametrize("payload", [b"", b"x" * 95, bytes(range(256))])
def test_frames_that_compressing_would_not_shrink_are_plain(payload: bytes) -> None:
    assert deflate_frame(BINARY, payload, 15) == encode_frame(BINARY, payload)


def test_control_frames_are_never_compressed() -> None:
    assert deflate_frame(PONG, b"x" * 125, 15) == encode_frame(PONG, b"x" * 125)
