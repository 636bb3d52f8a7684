from __future__ import annotations

import pytest

from odac.close_codes import CloseCode
from odac.errors import ProtocolError
from odac.wire.closing import ClosingHandshake
from odac.wire.frames import EMPTY_CLOSE, encode_close


def payload(code: int, reason: str = "") -> bytes:
    return code.to_bytes(2, "big") + reason.encode()


def test_this_side_closes_first() -> None:
    closing = ClosingHandshake()
    assert closing.send(4000, "bye") == encode_close(4000, "bye")
    assert bool(closing.is_complete) is False
    assert closing.receive(payload(1000)) is None
    assert closing.is_complete
    assert closing.outcome == (4000, "bye")


def test_the_peer_closes_first_and_gets_its_code_back() -> None:
    closing = ClosingHandshake()
    answer = closing.receive(payload(1001, "away"))
    assert answer == (1001, "away")
    assert bool(closing.is_complete) is False
    assert closing.send(*answer) == encode_close(1001, "away")
    assert closing.is_complete
    assert closing.outcome == (1001, "away")


def test_a_close_frame_without_a_code_is_answered_with_one_without_a_code() -> None:
    closing = ClosingHandshake()
    answer = closing.receive(b"")
    assert answer == (CloseCode.NO_STATUS, "")
    assert closing.send(*answer) == EMPTY_CLOSE


def test_a_second_close_frame_is_never_sent() -> None:
    closing = ClosingHandshake()
    closing.send(1011, "")
    assert closing.send(1000, "again") == b""
    assert closing.outcome == (1011, "")


@pytest.mark.parametrize("wrong", [b"\x03", payload(1006), payload(999), payload(1000) + b"\xff"])
def test_a_close_frame_that_is_not_allowed_fails_the_connection_and_counts(wrong: bytes) -> None:
    closing = ClosingHandshake()
    with pytest.raises(ProtocolError) as raised:
        closing.receive(wrong)
    assert closing.is_received
    closing.send(raised.value.code, raised.value.reason)
    assert closing.is_complete


def test_an_answer_is_not_looked_at() -> None:
    closing = ClosingHandshake()
    closing.send(1000, "")
    assert closing.receive(b"\x03") is None


def test_without_any_frame_the_application_gets_1006() -> None:
    closing = ClosingHandshake()
    assert closing.outcome == (CloseCode.ABNORMAL, "")
    assert bool(closing.is_complete) is False


def test_a_long_reason_is_cut() -> None:
    frame = ClosingHandshake().send(1011, "ä" * 100)
    assert len(frame) <= 127
    assert frame.endswith("…".encode())
