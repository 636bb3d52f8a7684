"""Strategies for byte streams that a WebSocket peer might send: well-formed, slightly wrong, mutated, cut anywhere."""

from __future__ import annotations

import zlib
from itertools import pairwise

from hypothesis import strategies as st

from odac.wire.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from odac.wire.mask import apply_mask

__all__ = [
    "Splits",
    "compressed_streams",
    "cut",
    "frames",
    "mutated",
    "raw_frame",
    "splits",
    "streams",
    "valid_streams",
]

Splits = list[int]

TAIL = b"\0\0\xff\xff"
"""What the sender of a compressed message leaves out at its end (RFC 7692 section 7.2.1)."""

MASKS = st.sampled_from([b"\x00\x00\x00\x00", b"\x9d\x01\xfe\x42", b"\xff\xff\xff\xff", b"\x01\x00\x00\x00"])

TEXTS = st.one_of(
    st.text(max_size=40).map(str.encode),
    st.sampled_from([b"", b"Hello", "κόσμε".encode(), b"x" * 125, b"x" * 126, "é".encode() * 70, "😀".encode() * 40]),
)
PARTS_OF_CHARACTERS = st.sampled_from(
    [b"\x80", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xf4\x90", b"\xc0\xaf", b"\xff", b"a\xe2"]
)
PAYLOADS = st.one_of(TEXTS, PARTS_OF_CHARACTERS, st.binary(max_size=140), st.sampled_from([bytes(300), bytes(65536)]))
CLOSES = st.one_of(
    st.just(b""),
    st.tuples(st.sampled_from([1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4000, 4999]), st.text(max_size=20)).map(
        lambda pair: pair[0].to_bytes(2, "big") + pair[1].encode()
    ),
    st.integers(0, 65535).map(lambda code: code.to_bytes(2, "big")),
    st.binary(max_size=10),
)


def raw_frame(
    first: int, payload: bytes, mask: bytes | None, field: int | None = None, length: int | None = None
) -> bytes:
    """A frame with any first byte and, where asked for, a length field of a wrong size or value.

    Args:
        first: FIN, the reserved bits and the opcode.
        payload: unmasked.
        mask: four bytes; None: unmasked.
        field: bytes of the extended length: 0, 2 or 8; None: the right size.
        length: what the length says; None: the right size.
    """
    said = len(payload) if length is None else length
    if field is None:
        field = 0 if said < 126 else 2 if said < 65536 else 8
    bit = 0x80 if mask is not None else 0
    if field == 0:
        header = bytes((first, bit | min(said, 125)))
    else:
        header = bytes((first, bit | (126 if field == 2 else 127))) + (said % 256**field).to_bytes(field, "big")
    return header + (mask + apply_mask(payload, mask) if mask is not None else payload)


@st.composite
def frames(draw: st.DrawFn, *, masked: bool) -> bytes:
    """Any frame, mostly valid, sometimes with one error."""
    opcode = draw(
        st.one_of(st.sampled_from([TEXT, TEXT, CONTINUATION, CONTINUATION, BINARY, PING, PONG]), st.integers(0, 15))
    )
    fin = draw(st.sampled_from([0x80, 0x80, 0x80, 0])) if opcode < CLOSE else 0x80
    wrong = draw(st.sampled_from([""] * 24 + ["reserved", "mask", "field", "length", "fin"]))
    if wrong == "fin":
        fin = 0
    reserved = draw(st.sampled_from([0x10, 0x20, 0x40, 0x70])) if wrong == "reserved" else 0
    mask = draw(MASKS) if masked is not (wrong == "mask") else None
    payload = draw(CLOSES if opcode == CLOSE else PAYLOADS)
    if opcode > CLOSE and draw(st.integers(0, 20)):
        payload = payload[:125]
    field = draw(st.sampled_from([2, 8])) if wrong == "field" else None
    length = draw(st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**31, 126, 0])) if wrong == "length" else None
    return raw_frame(fin | reserved | opcode, payload, mask, field, length)


@st.composite
def messages(draw: st.DrawFn, *, masked: bool) -> bytes:
    """One well-formed message in one or more frames, with control frames between them."""
    opcode, payload = draw(
        st.one_of(st.tuples(st.just(TEXT), TEXTS), st.tuples(st.just(BINARY), st.binary(max_size=300)))
    )
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4)))
    edges = [0, *cuts, len(payload)]
    out = b""
    for index, (start, end) in enumerate(pairwise(edges)):
        if index and draw(st.booleans()):
            out += raw_frame(
                0x80 | draw(st.sampled_from([PING, PONG])), draw(st.binary(max_size=20)), _mask(draw, masked)
            )
        first = (0x80 if index == len(edges) - 2 else 0) | (CONTINUATION if index else opcode)
        out += raw_frame(first, payload[start:end], _mask(draw, masked))
    return out


def _mask(draw: st.DrawFn, masked: bool) -> bytes | None:
    return draw(MASKS) if masked else None


def valid_streams(*, masked: bool) -> st.SearchStrategy[bytes]:
    """Well-formed messages one after the other."""
    return st.lists(messages(masked=masked), max_size=6).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn, *, masked: bool) -> bytes:
    """A well-formed stream with a few bytes changed, left out, put in or repeated."""
    data = bytearray(draw(valid_streams(masked=masked)))
    for _ in range(draw(st.integers(0, 4))):
        position = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["change", "bit", "drop", "insert", "cut", "repeat"])):
            case "change" if position < len(data):
                data[position] = draw(st.integers(0, 255))
            case "bit" if position < len(data):
                data[position] ^= 1 << draw(st.integers(0, 7))
            case "drop":
                del data[position : position + draw(st.integers(1, 4))]
            case "insert":
                data[position:position] = draw(st.binary(min_size=1, max_size=6))
            case "repeat":
                data[position:position] = data[max(0, position - draw(st.integers(1, 12))) : position]
            case "cut":
                del data[position:]
    return bytes(data)


def _ends_early(payload: bytes, before: bytes) -> bool:
    """Whether a block is marked as the last one: libraries differ in how they treat data after it."""
    inflater = zlib.decompressobj(wbits=-15)
    try:
        inflater.decompress(before + payload + TAIL)
    except zlib.error:
        pass
    return inflater.eof


@st.composite
def compressed_streams(draw: st.DrawFn, *, takeover: bool, harm: bool) -> bytes:
    """A client's well-formed messages, some of them compressed (RFC 7692 section 6), with a byte of one changed for
    harm.
    """
    deflater = zlib.compressobj(wbits=-15)
    deflated = b""
    out = b""
    for _ in range(draw(st.integers(1, 5))):
        opcode = draw(st.sampled_from([TEXT, BINARY]))
        payload = draw(TEXTS if opcode == TEXT else st.binary(max_size=300))
        reserved = 0
        if draw(st.integers(0, 3)):
            reserved = 0x40
            if not takeover:
                deflater = zlib.compressobj(wbits=-15)
            before = deflated if takeover else b""
            payload = (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
            if harm and payload and draw(st.booleans()):
                position = draw(st.integers(0, len(payload) - 1))
                changed = bytes((payload[position] ^ draw(st.integers(1, 255)),))
                harmed = payload[:position] + changed + payload[position + 1 :]
                if not _ends_early(harmed, before):
                    payload = harmed
            deflated += payload + TAIL
        edges = [0, *sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3))), len(payload)]
        for index, (start, end) in enumerate(pairwise(edges)):
            if index and draw(st.booleans()):
                out += raw_frame(0x80 | PING, draw(st.binary(max_size=20)), draw(MASKS))
            first = (0x80 if index == len(edges) - 2 else 0) | (CONTINUATION if index else reserved | opcode)
            out += raw_frame(first, payload[start:end], draw(MASKS))
    return out


def streams(*, masked: bool) -> st.SearchStrategy[bytes]:
    """Any stream: frames in any order, mutated streams, and random bytes."""
    return st.one_of(
        st.lists(frames(masked=masked), max_size=8).map(b"".join),
        mutated(masked=masked),
        st.binary(max_size=60),
    )


splits: st.SearchStrategy[Splits] = st.one_of(
    st.just([]),
    st.just([1] * 400),
    st.lists(st.integers(0, 20), max_size=60),
    st.lists(st.integers(0, 400), max_size=10),
)
"""Sizes of the segments that a stream arrives in; what is left comes at once."""


def cut(data: bytes, sizes: Splits) -> list[bytes]:
    """``data`` in segments of these sizes."""
    segments = []
    for size in sizes:
        segments.append(data[:size])
        data = data[size:]
    return [*segments, data]
