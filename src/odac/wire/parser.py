"""Bytes of a connection to messages and control frames (RFC 6455 sections 5.2 to 5.6, RFC 7692 section 6)."""

from __future__ import annotations

from typing import Final

from odac.close_codes import CloseCode
from odac.errors import ProtocolError
from odac.speedups import compiled
from odac.wire.deflate import Inflater
from odac.wire.frames import CLOSE, CONTINUATION, DATA_OPCODES, MAX_CONTROL_PAYLOAD, OPCODES, TEXT
from odac.wire.mask import apply_mask
from odac.wire.message_state import ENDED, LARGE, MessageState, Pieces, is_utf8, not_utf8, verify_utf8

__all__ = ["Event", "Parser", "SharedParser", "message_too_big", "reference_whole_text", "whole_text"]

Event = tuple[int, bytes]
"""An opcode and a payload: a complete message (TEXT, BINARY) or a control frame (CLOSE, PING, PONG)."""


_FRAMES: Final = 1024
"""Frames handled at a time: one read may hold 40,000, and other connections wait while they are handled."""

_INFLATED: Final = 256 * 1024
"""Bytes inflated at a time, about what one read returns without compression; at worst one message more."""


# The fast path: most often a client sends one text message below 64 KiB, alone in its chunk.


def reference_whole_text(data: bytes, limit: int) -> bytes | None:
    """Return the payload if ``data`` is exactly one unfragmented, uncompressed, masked text frame of ASCII, else None.

    Args:
        data: the bytes received.
        limit: bytes of the longest payload; -1 if the fast path is not allowed now.
    """
    end = len(data)
    if end < 6 or data[0] != 0x81:
        return None
    start = 6
    if data[1] == 0xFE:
        start = 8
        if end < 134 or data[2] << 8 | data[3] != end - 8:
            return None
    elif end > 131 or data[1] != end + 122:
        return None
    if end - start > limit:
        return None
    payload = apply_mask(data[start:], data[start - 4 : start])
    return payload if payload.isascii() else None


whole_text = compiled("whole_text", reference_whole_text)


class Parser:
    """One direction of a connection: received bytes in, events out.

    Args:
        max_payload: bytes of one message, after inflating and reassembling. Above it: 1009, on the frame's header.
        max_fragments: frames of one message. Above it: 1008.
        inflater: inflates the peer's messages, if compression was negotiated.
        masked: True for a server (frames of clients must be masked), False for a client (frames of servers must not).

    Attributes:
        error: the protocol error, or None. Bytes after it, and after a close frame, are ignored.
        whole_limit: bytes of the longest payload that the fast path accepts now; -1 if it accepts none.
        rest: bytes not parsed yet, because one call parses a limited amount, and the index of the first; or None.
    """

    __slots__ = ("_inflater", "_masked", "_max_fragments", "_max_payload", "_state", "error", "rest", "whole_limit")

    def __init__(
        self, max_payload: int, max_fragments: int, inflater: Inflater | None = None, *, masked: bool = True
    ) -> None:
        self._max_payload = max_payload
        self._max_fragments = max_fragments
        self._inflater = inflater
        self._masked = masked
        self._state: MessageState | None = None
        self.error: ProtocolError | None = None
        self.rest: tuple[bytes, int] | None = None
        self.whole_limit = max_payload if masked else -1

    def limit(self, max_payload: int) -> None:
        """Accept messages of up to ``max_payload`` bytes from now on; a frame whose header was read stays accepted."""
        self._max_payload = max_payload
        if self.whole_limit >= 0:
            self.whole_limit = max_payload
        if self._inflater is not None:
            self._inflater.limit(max_payload)

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that ``data`` completes, in order: all of them, unless :attr:`rest` is set afterwards.

        Args:
            data: the bytes received; ``b""`` to continue with the rest.
        """
        text = whole_text(data, self.whole_limit)
        if text is not None:
            return [(TEXT, text)]
        events: list[Event] = []
        position = 0
        if self.rest is not None:
            data, position = self._join_rest(data)
        try:
            if self.whole_limit >= 0:
                position = self._take_small_frames(data, events, position)
            if position < len(data):
                self._feed(data, events, position)
        except ProtocolError as error:
            # The traceback and the error's context would keep this frame, and with it the data, alive.
            self.error = error.with_traceback(None)
            error.__context__ = None
            self._end()
        return events

    def hold(self, data: bytes) -> None:
        """Keep bytes for a later :meth:`feed`: the budget of this turn of the event loop is spent."""
        self.rest = self._join_rest(data) if self.rest is not None else (data, 0)
        self.whole_limit = -1

    def _join_rest(self, data: bytes) -> tuple[bytes, int]:
        assert self.rest is not None
        rest, position = self.rest
        self.rest = None
        if self._state is None and self._masked:
            self.whole_limit = self._max_payload
        return (rest[position:] + data, 0) if data else (rest, position)

    def _end(self) -> None:
        self.whole_limit = -1
        self._state = ENDED
        self._inflater = None

    def _take_small_frames(self, data: bytes, events: list[Event], position: int) -> int:
        """Parse the whole, unfragmented, uncompressed frames below 64 KiB that come next; return where they end."""
        end = len(data)
        for _ in range(_FRAMES - len(events)):
            if end - position < 6:
                break
            length = data[position + 1]
            if 0x80 <= length < 0xFE:
                length -= 0x80
                start = position + 6
            elif length == 0xFE and end - position >= 8:
                length = data[position + 2] << 8 | data[position + 3]
                start = position + 8
                if length < 126:
                    break
            else:
                break
            stop = start + length
            if stop > end or length > self._max_payload:
                break
            first = data[position]
            if first == 0x81:
                payload = apply_mask(data[start:stop], data[start - 4 : start])
                if not payload.isascii() and not is_utf8(payload):
                    raise not_utf8()
            elif first == 0x82 or ((first == 0x89 or first == 0x8A) and length < 126):
                payload = apply_mask(data[start:stop], data[start - 4 : start])
            else:
                break
            events.append((first & 0xF, payload))
            position = stop
        return position

    def _feed(self, data: bytes, events: list[Event], position: int) -> None:
        """Parse everything else: parts of frames, fragments, compressed messages and invalid frames."""
        end = len(data)
        state = self._state
        if state is ENDED:
            return
        frames = inflated = 0
        while position < end:
            if state is None or state.left < 0:
                if frames + len(events) >= _FRAMES or inflated >= _INFLATED:
                    self.rest = data, position
                    self.whole_limit = -1
                    return
                if state is None:
                    state = self._state = MessageState()
                    self.whole_limit = -1
                position = self._take_header(state, data, position)
                if state.left < 0:
                    return
                frames += 1
            stop = min(position + state.left, end)
            if self._masked and stop - position >= LARGE:
                inflated += self._take_payload(
                    state, memoryview(data)[position:stop], events
                )  # unmasking copies it anyway
            else:
                inflated += self._take_payload(state, data[position:stop], events)
            position = stop
            if state.left == 0:
                if state.opcode == CLOSE:
                    self._end()
                    return
                state.left = -1
                if not state.kind:
                    state = self._state = None
                    if self._masked:
                        position = self._take_small_frames(data, events, position)
        if state is None and self._masked:
            self.whole_limit = self._max_payload

    def _take_header(self, state: MessageState, data: bytes, position: int) -> int:
        """Read a frame's header, or keep an incomplete one; ``state.left`` is at least 0 once it is complete."""
        buffered = len(state.header)
        head = state.header + data[position : position + 14 - buffered]
        if len(head) >= 2:
            first, second = head[0], head[1]
            self._check_frame(state, first, second)
            length = second & 0x7F
            extended = 0 if length < 126 else 2 if length == 126 else 8
            size = 2 + extended + (4 if self._masked else 0)
            if len(head) >= size:
                if extended:
                    length = int.from_bytes(head[2 : 2 + extended], "big")
                    if length < (126 if extended == 2 else 0x10000) or length >> 63:
                        raise ProtocolError(CloseCode.PROTOCOL_ERROR, f"length {length} in {extended} bytes")
                state.header = b""
                state.mask = head[size - 4 : size]
                self._begin_frame(state, first, length)
                return position + size - buffered
        state.header = head
        return len(data)

    def _check_frame(self, state: MessageState, first: int, second: int) -> None:
        """Raise ProtocolError if the first two bytes of a frame are not allowed (RFC 6455 section 5.2)."""
        opcode = first & 0xF
        if opcode not in OPCODES:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, f"reserved opcode {opcode:#x}")
        if first & 0x70 and not (first & 0x70 == 0x40 and self._inflater is not None and opcode in DATA_OPCODES):
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "reserved bit set that no extension was negotiated for")
        if (second >= 0x80) is not self._masked:
            raise ProtocolError(
                CloseCode.PROTOCOL_ERROR,
                "frame without a mask from a client" if self._masked else "masked frame from a server",
            )
        if opcode >= CLOSE:
            if first < 0x80:
                raise ProtocolError(CloseCode.PROTOCOL_ERROR, "fragmented control frame")
            if second & 0x7F > MAX_CONTROL_PAYLOAD:
                raise ProtocolError(CloseCode.PROTOCOL_ERROR, f"control frame over {MAX_CONTROL_PAYLOAD} bytes")
        elif opcode == CONTINUATION:
            if not state.kind:
                raise ProtocolError(CloseCode.PROTOCOL_ERROR, "continuation frame without a message to continue")
        elif state.kind:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "new message before the last fragment of the one before")

    def _begin_frame(self, state: MessageState, first: int, length: int) -> None:
        state.opcode = opcode = first & 0xF
        state.fin = first >= 0x80
        state.left = length
        if opcode >= CLOSE:
            return
        if opcode != CONTINUATION:
            state.kind = opcode
            state.compressed = first & 0x40 != 0
        state.fragments += 1
        if state.fragments > self._max_fragments:
            raise ProtocolError(
                CloseCode.POLICY_VIOLATION,
                f"message of more than {self._max_fragments} fragments (max_fragments)",
                "max_fragments",
            )
        state.size += length
        limit = self._max_payload
        # Deflate may make data that it cannot compress a little larger; what it inflates to has the exact limit.
        if state.size > (limit + (limit >> 5) + 64 if state.compressed else limit):
            raise message_too_big(state.size, limit)

    def _take_payload(self, state: MessageState, chunk: bytes | memoryview, events: list[Event]) -> int:
        """Parse the next bytes of a frame's payload; add an event if they complete one. Return the bytes inflated."""
        size = len(chunk)
        state.left -= size
        if self._masked and size:
            mask = state.mask
            chunk = apply_mask(chunk, mask)
            if shift := size & 3:
                state.mask = mask[shift:] + mask[:shift]
        assert type(chunk) is bytes  # a view is always unmasked
        complete = state.left == 0 and state.fin
        if state.opcode >= CLOSE:
            state.control += chunk
            if complete:
                events.append((state.opcode, state.control))
                state.control = b""
            return 0
        inflated = 0
        if state.compressed:
            assert self._inflater is not None
            chunk = self._inflater.inflate(chunk, last=complete)
            inflated = len(chunk)
        if state.kind == TEXT:
            state.tail = verify_utf8(state.tail, chunk, last=complete)
        message = state.message
        if complete:
            if message is not None:
                chunk = message.join(chunk)
            events.append((state.kind, chunk))
            state.kind = 0
        elif chunk:
            if message is None:
                message = state.message = Pieces()
            message.add(chunk)
        return inflated


class SharedParser(Parser):
    """A parser for several connections while each is between two messages, when a parser has no state.

    Args:
        max_payload: as of :class:`Parser`.
        max_fragments: the same.
    """

    __slots__ = ()

    def __init__(self, max_payload: int, max_fragments: int) -> None:
        super().__init__(max_payload, max_fragments)

    def split(self) -> Parser:
        """Return a parser for one connection alone, with the state of this one, and reset this one.

        Must be called if :attr:`whole_limit` is -1 after feeding, before another connection's bytes are fed.
        """
        own = Parser(self._max_payload, self._max_fragments)
        own._state, own.error, own.rest, own.whole_limit = self._state, self.error, self.rest, self.whole_limit
        self._state = self.error = self.rest = None
        self.whole_limit = self._max_payload
        return own


def message_too_big(size: int, limit: int) -> ProtocolError:
    """The error of a message past ``max_payload``: 1009.

    Args:
        size: bytes of the message, as far as they are known.
        limit: bytes allowed.
    """
    reason = f"message of {size} bytes: at most {limit} (max_payload)"
    return ProtocolError(CloseCode.MESSAGE_TOO_BIG, reason, "max_payload")
