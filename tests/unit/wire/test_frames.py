from __future__ import annotations

import pytest

from odac.errors import ProtocolError
from odac.wire.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    EMPTY_CLOSE,
    PING,
    PONG,
    TEXT,
    check_close,
    encode_close,
    encode_frame,
    encode_masked_frame,
    fit_reason,
    parse_close,
)
from odac.wire.mask import apply_mask


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, "8200"),
        (1, "8201"),
        (125, "827d"),
        (126, "827e007e"),
        (255, "827e00ff"),
        (256, "827e0100"),
        (65535, "827effff"),
        (65536, "827f0000000000010000"),
    ],
)
def test_length_takes_the_fewest_bytes(length: int, header: str) -> None:
    payload = bytes(length)
    assert encode_frame(BINARY, payload) == bytes.fromhex(header) + payload


@pytest.mark.parametrize("opcode", [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG])
def test_opcode_stands_in_the_first_byte(opcode: int) -> None:
    assert encode_frame(opcode, b"x") == bytes((0x80 | opcode, 1)) + b"x"


def test_flags() -> None:
    assert encode_frame(TEXT, b"x", fin=False) == b"\x01\x01x"
    assert encode_frame(TEXT, b"x", rsv1=True) == b"\xc1\x01x"
    assert encode_frame(BINARY, b"x", rsv1=True, fin=False) == b"\x42\x01x"


def test_examples_of_rfc_6455_section_5_7() -> None:
    assert encode_frame(TEXT, b"Hello").hex() == "810548656c6c6f"
    assert encode_masked_frame(TEXT, b"Hello", bytes.fromhex("37fa213d")).hex() == "818537fa213d7f9f4d5158"
    assert encode_frame(TEXT, b"Hel", fin=False) + encode_frame(CONTINUATION, b"lo") == bytes.fromhex(
        "010348656c80026c6f"
    )
    assert encode_frame(PING, b"Hello").hex() == "890548656c6c6f"
    assert encode_frame(BINARY, bytes(256))[:4].hex() == "827e0100"
    assert encode_frame(BINARY, bytes(65536))[:10].hex() == "827f0000000000010000"


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 125, 126, 65536])
def test_masked_frame_unmasks_to_its_payload(length: int) -> None:
    payload = bytes(index & 0xFF for index in range(length))
    frame = encode_masked_frame(BINARY, payload, b"\x01\x02\x03\x04")
    header = len(encode_frame(BINARY, payload)) - length
    assert frame[1] & 0x80
    assert frame[header : header + 4] == b"\x01\x02\x03\x04"
    assert apply_mask(frame[header + 4 :], b"\x01\x02\x03\x04") == payload


@pytest.mark.parametrize("opcode", [0x3, 0x7, 0xB, 0xF])
def test_undefined_opcode_is_refused(opcode: int) -> None:
    with pytest.raises(ValueError, match="not defined"):
        encode_frame(opcode, b"")
    with pytest.raises(ValueError, match="not defined"):
        encode_masked_frame(opcode, b"", b"abcd")


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_control_frames_are_small_and_whole(opcode: int) -> None:
    assert len(encode_frame(opcode, bytes(125))) == 127
    with pytest.raises(ValueError, match="125"):
        encode_frame(opcode, bytes(126))
    with pytest.raises(ValueError, match="whole"):
        encode_frame(opcode, b"", fin=False)
    with pytest.raises(ValueError, match="uncompressed"):
        encode_frame(opcode, b"", rsv1=True)


def test_close_frame() -> None:
    assert encode_close(1000) == b"\x88\x02\x03\xe8"
    assert encode_close(4001, "who are you") == b"\x88\x0d\x0f\xa1who are you"
    assert encode_close(1000, "é") == b"\x88\x04\x03\xe8\xc3\xa9"
    assert EMPTY_CLOSE == b"\x88\x00"


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536, -1, True, 1000.0, "1000"])
def test_close_code_that_may_not_be_sent(code: object) -> None:
    with pytest.raises(ValueError, match="may not be sent"):
        encode_close(code)  # type: ignore[arg-type]


def test_close_reason_has_123_utf8_bytes() -> None:
    assert len(encode_close(1000, "x" * 123)) == 127
    assert check_close(1000, "é" * 61) == "é".encode() * 61
    with pytest.raises(ValueError, match="124 UTF-8 bytes"):
        encode_close(1000, "x" * 124)
    with pytest.raises(ValueError, match="124 UTF-8 bytes"):
        check_close(1000, "é" * 62)
    with pytest.raises(ValueError, match="surrogate"):
        check_close(1000, "\ud800")
    for reason in (None, b"bye", 7):
        with pytest.raises(TypeError, match="must be a str"):
            check_close(1000, reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", (1005, "")),
        (b"\x03\xe8", (1000, "")),
        (b"\x03\xe9bye", (1001, "bye")),
        (b"\x0f\xa0\xc3\xa9", (4000, "é")),
        (b"\x03\xe8" + b"x" * 123, (1000, "x" * 123)),
    ],
)
def test_parse_close(payload: bytes, expected: tuple[int, str]) -> None:
    assert parse_close(payload) == expected


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x03", 1002),
        (b"\x00\x00", 1002),
        (b"\x03\xe7", 1002),
        (b"\x03\xed", 1002),
        (b"\x03\xee", 1002),
        (b"\x03\xf7", 1002),
        (b"\x0b\xb7", 1002),
        (b"\x13\x88", 1002),
        (b"\xff\xff", 1002),
        (b"\x03\xe8\xff", 1007),
        (b"\x03\xe8\xc3", 1007),
        (b"\x03\xe8\xed\xa0\x80", 1007),
    ],
)
def test_parse_close_refuses(payload: bytes, code: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_close(payload)
    assert caught.value.code == code
    check_close(code, caught.value.reason)


@pytest.mark.parametrize(
    "reason", ["", "short", "x" * 123, "x" * 124, "é" * 200, "😀" * 100, "a" + "😀" * 100, "\ud800"]
)
def test_fit_reason_always_fits(reason: str) -> None:
    fitted = fit_reason(reason)
    check_close(1000, fitted)
    assert fitted == reason or fitted.endswith("…") or fitted == "?"
