"""The parser against an independent one: the sans-IO protocol of the ``websockets`` library.

For every stream both return the same messages and control frames, or both refuse it. These differences are intended:

1. *Lengths in more bytes than needed* are refused here (RFC 6455 section 5.2: "the minimal number of bytes MUST be
   used"); ``websockets`` takes them, in control frames too.
2. *A close frame between the fragments of a message* closes the connection here (section 5.4: control frames may stand
   there; section 5.5.1 makes no exception of Close); ``websockets`` answers 1002.
3. *Text that is not UTF-8* ends the connection at its first bad byte here (section 8.1, and Autobahn's section 6.4);
   ``websockets`` looks at it when the message is complete, and may take control frames before that.
4. *A frame that is refused by its first two bytes* is refused before its payload arrives here; ``websockets`` waits for
   it, so it has not answered where the stream ends before. The same holds for the length of control frames.
5. *Which code*: where a frame is wrong in two ways, either may be named. A length with the highest bit set is 1002 here
   and 1009 there.
6. *max_payload* counts data here; ``websockets`` subtracts what a fragmented message has used from the size that a ping
   in between may have. The streams below stay clear of it.
7. *What follows a compressed message's last block* (BFINAL) begins another block here (RFC 7692 section 7.2.3.4);
   ``websockets`` leaves it out. The streams below have no last blocks.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.protocol import OPEN, Protocol, Side

from odac.errors import ProtocolError
from odac.wire.deflate import Inflater
from odac.wire.frames import BINARY, CLOSE, CONTINUATION, TEXT, parse_close
from odac.wire.parser import Event, Parser
from tests.fuzz.streams import Splits, compressed_streams, cut, splits, streams, valid_streams
from tests.parsing import feed_all

MAX_PAYLOAD = 1 << 20
QUIET = logging.getLogger("tests.fuzz.differential")
QUIET.disabled = True


def ours(
    segments: list[bytes], *, masked: bool, inflater: Inflater | None = None
) -> tuple[list[Event], ProtocolError | None]:
    parser = Parser(MAX_PAYLOAD, 10_000, inflater, masked=masked)
    events = [event for segment in segments for event in feed_all(parser, segment)]
    error = parser.error
    if events and events[-1][0] == CLOSE:
        try:
            parse_close(events[-1][1])
        except ProtocolError as problem:
            error = problem
            events.pop()
    return events, error


def theirs(
    segments: list[bytes], *, masked: bool, extensions: Sequence[Extension] = ()
) -> tuple[list[Event], int | None]:
    protocol = Protocol(Side.SERVER if masked else Side.CLIENT, state=OPEN, max_size=MAX_PAYLOAD, logger=QUIET)
    protocol.extensions = list(extensions)
    for segment in segments:
        protocol.receive_data(segment)
    events: list[Event] = []
    kind = 0
    message = b""
    for frame in protocol.events_received():
        assert isinstance(frame, Frame)
        if frame.opcode >= CLOSE:
            events.append((int(frame.opcode), bytes(frame.data)))
            continue
        if frame.opcode != CONTINUATION:
            kind, message = int(frame.opcode), b""
        message += frame.data
        if frame.fin:
            if kind == TEXT:
                try:
                    message.decode()
                except UnicodeDecodeError:
                    return events, 1007
            events.append((kind, message))
    return events, protocol.close_sent.code if protocol.parser_exc is not None and protocol.close_sent else None


@pytest.mark.parametrize("masked", [True, False], ids=["server", "client"])
@given(data=st.data(), sizes=splits)
def test_well_formed_streams_give_the_same_events(masked: bool, data: st.DataObject, sizes: Splits) -> None:
    segments = cut(data.draw(valid_streams(masked=masked)), sizes)
    events, error = ours(segments, masked=masked)
    assert error is None
    assert (events, None) == theirs(segments, masked=masked)


@pytest.mark.parametrize("masked", [True, False], ids=["server", "client"])
@given(data=st.data(), sizes=splits)
def test_any_stream_gives_the_same_events_or_both_refuse(masked: bool, data: st.DataObject, sizes: Splits) -> None:
    segments = cut(data.draw(streams(masked=masked)), sizes)
    events, error = ours(segments, masked=masked)
    other_events, other_code = theirs(segments, masked=masked)
    if error is None:
        if other_code is not None:  # difference 2
            assert events
            assert events[-1][0] == CLOSE
            assert other_code == 1002
            events.pop()
        assert events == other_events
    elif error.code == 1002 and error.reason.startswith(("length ", "control frame over")):  # differences 1 and 5
        assert other_events[: len(events)] == events
    elif error.code == 1007 and error.reason.startswith("text"):  # difference 3
        assert other_events[: len(events)] == events
        assert all(opcode not in (TEXT, BINARY) for opcode, _ in other_events[len(events) :])
    else:
        assert events == other_events
        assert other_code is None or other_code in (1002, 1007, 1009)
        if other_code is None:  # difference 4
            filler = bytes(70_000)
            assert theirs([*segments, filler, filler], masked=masked)[1] is not None or _waits(segments, masked=masked)


@pytest.mark.parametrize("takeover", [True, False], ids=["takeover", "no takeover"])
@pytest.mark.parametrize("harm", [False, True], ids=["well-formed", "harmed"])
@given(data=st.data(), sizes=splits)
def test_compressed_messages_are_the_same_or_both_refuse(
    takeover: bool, harm: bool, data: st.DataObject, sizes: Splits
) -> None:
    segments = cut(data.draw(compressed_streams(takeover=takeover, harm=harm)), sizes)
    events, error = ours(segments, masked=True, inflater=Inflater(MAX_PAYLOAD, takeover=takeover))
    extension = PerMessageDeflate(not takeover, True, 15, 15)
    other_events, other_code = theirs(segments, masked=True, extensions=[extension])
    if error is None:
        assert (events, None) == (other_events, other_code)
    else:
        assert harm
        assert other_code in (1002, 1007)
        if not error.reason.startswith("text"):  # difference 3
            assert events == other_events


def _waits(segments: list[bytes], *, masked: bool) -> bool:
    """Whether the other parser is still in a frame whose payload may be as long as the limit."""
    filler = bytes(MAX_PAYLOAD + 14)
    return theirs([*segments, filler], masked=masked)[1] is not None
