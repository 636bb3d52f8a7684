"""The targets of the coverage-guided fuzzer: they take bytes, and raise only if something is wrong.

The first bytes of an input choose the variation (server or client, how the rest is cut), so that the fuzzer finds those
by itself. ``test_corpus.py`` runs every input that was worth keeping; ``run.py`` looks for new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from odac.cluster.envelope import Envelope, GarbageError
from odac.cluster.envelope import decode as decode_envelope
from odac.cluster.envelope import encode as encode_envelope
from odac.config import Limits
from odac.errors import HandshakeError, InvalidMessage, ProtocolError
from odac.protocol.codec import decode_text
from odac.protocol.control import decode_control, is_control, unescape
from odac.protocol.message import Prepared
from odac.serving.protocols.request_head import Head, read_head
from odac.wire.deflate import Inflater, negotiate
from odac.wire.frames import BINARY, CLOSE, TEXT, check_close, parse_close
from odac.wire.handshake import (
    accept_value,
    offered_subprotocols,
    offered_token,
    reference_usual_offer,
    response_101,
    response_error,
    select_subprotocol,
    upgrade_key,
    usual_offer,
)
from odac.wire.headers import MAX_LIST
from odac.wire.parser import Event, Parser
from odac.wire.request import RequestHead, parse_request, reference_usual_request, usual_request
from tests.parsing import feed_all

__all__ = ["TARGETS"]

MAX_PAYLOAD = 4096


def parser(data: bytes) -> None:
    """Any cut of a stream gives the same events, within the limits, and no exception."""
    if len(data) < 2:
        return
    flags, step, stream = data[0], data[1] % 32 + 1, data[2:]

    def run(segments: list[bytes]) -> tuple[list[Event], int | None]:
        inflater = Inflater(MAX_PAYLOAD, takeover=bool(flags & 2)) if flags & 4 else None
        machine = Parser(MAX_PAYLOAD, 8, inflater, masked=bool(flags & 1))
        events = [event for segment in segments for event in feed_all(machine, segment)]
        if machine.error is not None:
            check_close(machine.error.code, machine.error.reason)
        return events, None if machine.error is None else int(machine.error.code)

    events, code = run([stream])
    for opcode, payload in events:
        if opcode == TEXT:
            payload.decode()
        assert len(payload) <= (MAX_PAYLOAD if opcode in (TEXT, BINARY) else 125)
        if opcode == CLOSE:
            assert (opcode, payload) == events[-1]
            try:
                assert check_close(*parse_close(payload)) == payload[2:] or not payload
            except (ProtocolError, ValueError):
                assert payload[:2] not in (b"\x03\xe8", b"\x03\xe9") or not _is_utf8(payload[2:]) or not payload
    again, other = run([stream[index : index + step] for index in range(0, len(stream), step)])
    assert again == events
    # In a compressed text with two errors, the cut decides which is found first: in the compression or in the text.
    assert other == code or (flags & 4 and None not in (other, code))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def handshake(data: bytes) -> None:
    """A request is a handshake or is refused with a status, and no header of it gets into the response."""
    try:
        head = parse_request(data, max_headers=20, max_header_bytes=2048)
        assert len(head.headers) <= 20
        assert all(name == name.lower() and b"\n" not in value and b"\r" not in value for name, value in head.headers)
        accept = accept_value(upgrade_key(head))
        usual = usual_offer(head.headers)
        assert usual == reference_usual_offer(head.headers)
        offered = offered_subprotocols(head.headers)
        assert usual is None or usual == offered
        agreed = negotiate(
            [value.decode("ascii") for name, value in head.headers if name == b"sec-websocket-extensions"]
        )
        offered_token(offered)
        selected = select_subprotocol(offered, ["chat"])
        answer = response_101(accept, selected, None if agreed is None else agreed.response, [])
        assert answer.count(b"\r\n\r\n") == 1
        assert answer.count(b"\r\n") == 5 + (selected is not None) + (agreed is not None)
    except HandshakeError as error:
        assert 400 <= error.status < 500  # noqa: PT017 - either outcome is right
        answer = response_error(error.status, error.headers, error.reason)
        assert answer.count(b"\r\n\r\n") == 1


def head(data: bytes) -> None:
    """However a request's head is cut, it is seen for the same, and the look at a usual handshake agrees with the
    checks.
    """
    if not data:
        return
    step, stream = data[0] + 1, data[1:]
    limits = Limits(max_headers=20, max_header_bytes=2048)

    def seen(lengths: Iterable[int]) -> Head | None:
        known, found = 0, Head.UNFINISHED
        for length in lengths:
            try:
                found = read_head(stream[:length], known, limits)
            except HandshakeError as error:
                assert 400 <= error.status <= 505  # noqa: PT017 - either outcome is right
                return None
            if found is not Head.UNFINISHED:
                return found
            known = length
        return found

    whole = seen([len(stream)])
    parsed = _parsed(stream)
    if seen([*range(step, len(stream), step), len(stream)]) is not whole:
        # Refused before its end. The caller that gets a complete head checks its first line, too, including the method.
        assert parsed is None or len(parsed.method) > 40
    usual = usual_request(stream, 20, 2048, MAX_LIST)
    assert usual == reference_usual_request(stream, 20, 2048, MAX_LIST)
    if usual is not None:
        assert whole is Head.WEBSOCKET
        assert parsed is not None
        assert usual[:3] == (parsed.target, parsed.headers, upgrade_key(parsed))


def _parsed(stream: bytes) -> RequestHead | None:
    try:
        return parse_request(stream, max_headers=20, max_header_bytes=2048)
    except HandshakeError:
        return None


def extensions(data: bytes) -> None:
    """For any Sec-WebSocket-Extensions, the answer is one of ours or none."""
    agreed = negotiate(data.decode("latin-1").split("\n"))
    if agreed is not None:
        assert 8 <= agreed.server_bits <= 15
        assert 8 <= agreed.client_bits <= 15
        assert negotiate([agreed.response]) is not None
        agreed.inflater(MAX_PAYLOAD)


def inflate(data: bytes) -> None:
    """Any inflated data ends at the limit, and is the same in pieces as at once."""

    def run(pieces: list[bytes]) -> bytes | int:
        inflater = Inflater(MAX_PAYLOAD)
        try:
            parts = [inflater.inflate(piece, last=False) for piece in pieces]
            return b"".join([*parts, inflater.inflate(b"", last=True)])
        except ProtocolError as error:
            return int(error.code)

    whole = run([data])
    assert whole in (1007, 1008, 1009) if isinstance(whole, int) else len(whole) <= MAX_PAYLOAD
    assert run([data[index : index + 3] for index in range(0, len(data), 3)]) == whole


def text(data: bytes) -> None:
    """Text from a peer becomes a value, a control message or an error of ours."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return
    try:
        decode_text(data)
    except InvalidMessage as error:
        assert error.reason  # noqa: PT017 - either outcome is right
    control(data)


def control(data: bytes) -> None:
    """A control message has a kind or is ignored; the application's text is never one, and is unescaped to the same text."""
    if is_control(data):
        decoded = decode_control(data)
        assert decoded is None or type(decoded[0]) is str
    message = Prepared(TEXT, data)
    sent = (message.escaped or message).payload
    assert not is_control(sent)
    assert unescape(sent) == data


def envelope(data: bytes) -> None:
    """A message from a broker is an envelope or is refused, and an envelope can be encoded again."""
    try:
        decoded = decode_envelope(data)
    except GarbageError:
        return
    assert isinstance(decoded, Envelope)
    assert decode_envelope(encode_envelope(decoded)) == decoded


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (parser, handshake, head, extensions, inflate, text, control, envelope)
}
"""By name; each has its folder below ``corpus``."""
