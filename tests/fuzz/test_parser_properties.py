"""Properties of the parser for every byte stream and every cut."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from odac.errors import ProtocolError
from odac.wire.deflate import Inflater
from odac.wire.frames import BINARY, CLOSE, CONTINUATION, TEXT, check_close, encode_masked_frame, parse_close
from odac.wire.parser import Event, Parser
from tests.fuzz.streams import Splits, cut, splits, streams
from tests.parsing import feed_all

MAX_PAYLOAD = 70_000


def run(
    data: bytes, sizes: Splits, *, masked: bool, inflater: Inflater | None = None
) -> tuple[list[Event], int | None]:
    parser = Parser(MAX_PAYLOAD, 5, inflater, masked=masked)
    events = [event for segment in cut(data, sizes) for event in feed_all(parser, segment)]
    if parser.error is not None:
        check_close(parser.error.code, parser.error.reason)
    return events, None if parser.error is None else int(parser.error.code)


def check_events(events: list[Event]) -> None:
    for opcode, payload in events:
        assert type(payload) is bytes
        if opcode == TEXT:
            payload.decode()
        if opcode in (TEXT, BINARY):
            assert len(payload) <= MAX_PAYLOAD
        else:
            assert opcode >= CLOSE
            assert len(payload) <= 125
    assert CLOSE not in [opcode for opcode, _ in events[:-1]]


@pytest.mark.parametrize("masked", [True, False], ids=["server", "client"])
@given(data=st.data(), sizes=splits)
def test_how_a_stream_is_cut_changes_nothing(masked: bool, data: st.DataObject, sizes: Splits) -> None:
    stream = data.draw(streams(masked=masked))
    whole = run(stream, [], masked=masked)
    check_events(whole[0])
    cut_up = run(stream, sizes, masked=masked)
    assert cut_up == whole


@given(streams(masked=True), streams(masked=True))
def test_events_only_ever_follow(first: bytes, second: bytes) -> None:
    """A longer stream begins with the shorter one's events, and an error stays."""
    events, code = run(first, [], masked=True)
    more, later = run(first + second, [], masked=True)
    assert more[: len(events)] == events
    assert code is None or (later == code and more == events)


def compressed(*payloads: bytes, takeover: bool) -> list[bytes]:
    compressor = zlib.compressobj(wbits=-15)
    out = []
    for payload in payloads:
        if not takeover:
            compressor = zlib.compressobj(wbits=-15)
        out.append((compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4])
    return out


@given(
    payloads=st.lists(
        st.one_of(st.text(max_size=200).map(str.encode), st.sampled_from([b"", b"hello " * 500])), max_size=5
    ),
    takeover=st.booleans(),
    cuts=st.lists(st.integers(0, 60), max_size=3),
    sizes=splits,
)
def test_compressed_messages_come_out_as_they_went_in(
    payloads: list[bytes], takeover: bool, cuts: list[int], sizes: Splits
) -> None:
    stream = b""
    for data in compressed(*payloads, takeover=takeover):
        *parts, last = cut(data, cuts)
        for index, part in enumerate(parts):
            stream += encode_masked_frame(CONTINUATION if index else TEXT, part, b"mask", fin=False, rsv1=not index)
        stream += encode_masked_frame(CONTINUATION if parts else TEXT, last, b"mask", rsv1=not parts)
    events, code = run(stream, sizes, masked=True, inflater=Inflater(MAX_PAYLOAD, takeover=takeover))
    assert events == [(TEXT, payload) for payload in payloads]
    assert code is None


@given(
    data=st.one_of(st.binary(max_size=100), st.binary(max_size=30).map(zlib.compress)),
    sizes=splits,
    takeover=st.booleans(),
)
@example(data=b"\x03\x00" * 10, sizes=[1, 1, 1], takeover=True)
@example(data=b"\x03\x00" * 40, sizes=[1, 1, 1], takeover=True)
def test_inflating_noise_ends_in_data_or_a_protocol_error(data: bytes, sizes: Splits, takeover: bool) -> None:
    def inflate(pieces: list[bytes]) -> bytes | int:
        inflater = Inflater(1000, takeover=takeover)
        try:
            parts = [inflater.inflate(piece, last=False) for piece in pieces]
            return b"".join([*parts, inflater.inflate(b"", last=True)])
        except ProtocolError as error:
            return error.code

    whole = inflate([data])
    assert inflate(cut(data, sizes)) == whole
    assert len(whole) <= 1000 if isinstance(whole, bytes) else whole in (1007, 1008, 1009)


@given(st.binary(max_size=125))
def test_any_close_payload_has_a_code_or_is_refused(payload: bytes) -> None:
    try:
        code, reason = parse_close(payload)
    except ProtocolError as error:
        assert error.code in (1002, 1007)  # noqa: PT017 - either outcome is right
    else:
        assert (code, reason) == (1005, "") or check_close(code, reason) == payload[2:]
