from __future__ import annotations

import zlib

import pytest

from odac.protocol.message import Prepared, Verbatim
from odac.wire.frames import BINARY, PONG, TEXT, encode_frame


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65536])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_frame_is_ready(opcode: int, length: int) -> None:
    message = Prepared(opcode, b"x" * length)
    assert message.frame == encode_frame(opcode, b"x" * length)
    assert message.is_text is (opcode == TEXT)
    assert message.escaped is None


def test_text_that_begins_with_the_separator_has_an_escaped_twin() -> None:
    message = Prepared(TEXT, b"\x1ehello")
    assert message.frame == encode_frame(TEXT, b"\x1ehello")
    assert message.escaped is not None
    assert message.escaped.payload == b"\x1e\x1ehello"
    assert message.escaped.frame == encode_frame(TEXT, b"\x1e\x1ehello")
    assert message.escaped.escaped is None


def test_binary_is_never_escaped() -> None:
    assert Prepared(BINARY, b"\x1ehello").escaped is None
    assert Prepared(PONG, b"\x1e").escaped is None


def test_verbatim_text_is_never_escaped() -> None:
    message = Verbatim(b'\x1e["ping"]')
    assert message.escaped is None
    assert message.is_text
    assert message.frame == encode_frame(TEXT, b'\x1e["ping"]')


def test_compressed_once_for_each_window() -> None:
    message = Prepared(TEXT, b"hello " * 100)
    frame = message.compressed(15)
    assert frame[0] == 0xC1
    assert len(frame) < 40
    assert zlib.decompress(frame[2:] + b"\x00\x00\xff\xff\x03\x00", -15) == message.payload
    assert message.compressed(15) is frame
    assert message.compressed(9) is message.compressed(9)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("payload", [b"", b"a" * 64, bytes(range(256))], ids=["empty", "small", "random"])
def test_plain_where_compressing_does_not_pay(opcode: int, payload: bytes) -> None:
    message = Prepared(opcode, payload)
    assert message.compressed(15) == message.frame


def test_no_room_for_more_attributes() -> None:
    with pytest.raises(AttributeError):
        Prepared(TEXT, b"").other = 1  # type: ignore[attr-defined]


def test_repr_shows_no_payload() -> None:
    assert repr(Prepared(TEXT, b"secret")) == "<Prepared text, 6 bytes>"
    assert repr(Prepared(BINARY, b"secret")) == "<Prepared binary, 6 bytes>"
