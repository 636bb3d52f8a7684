"""The state of the closing handshake (RFC 6455 sections 5.5.1 and 7).

The direct lane and the protocol class of the wrapped app's WebSockets (``serving/protocols/asgi_websocket.py``) read
and write its frames. On the ASGI lane, the server has a closing handshake of its own.
"""

from __future__ import annotations

from odac.close_codes import CloseCode
from odac.wire.frames import EMPTY_CLOSE, encode_close, fit_reason, parse_close

__all__ = ["ClosingHandshake"]


class ClosingHandshake:
    """One connection's closing handshake, from the first close frame on, whichever side sends it.

    Attributes:
        sent: code and reason of the close frame that this side has sent; None before it has.
        is_received: whether the peer's close frame has arrived. The peer sends nothing after it.
    """

    __slots__ = ("is_received", "sent")

    def __init__(self) -> None:
        self.sent: tuple[int, str] | None = None
        self.is_received = False

    def send(self, code: int, reason: str) -> bytes:
        """Return the close frame that this side is to write; ``b""`` if it has sent one, because it may send only one.

        Args:
            code: a code that may be sent, or 1005 for a frame without a code, which answers one without a code.
            reason: cut to the 123 UTF-8 bytes that a close frame has room for.
        """
        if self.sent is not None:
            return b""
        self.sent = (int(code), reason)
        return EMPTY_CLOSE if code == CloseCode.NO_STATUS else encode_close(code, fit_reason(reason))

    def receive(self, payload: bytes) -> tuple[int, str] | None:
        """The peer's close frame has arrived.

        Args:
            payload: of the frame.

        Returns:
            the code and the reason to answer with (:meth:`send`), or None if this frame is the answer to this side's
            own.

        Raises:
            ProtocolError: the payload is not allowed. The connection fails with the error's code; the peer's frame
                counts anyway, because the peer sends nothing after it.
        """
        self.is_received = True
        return None if self.sent is not None else parse_close(payload)

    @property
    def is_complete(self) -> bool:
        """Whether both close frames were exchanged: then the server closes TCP first (section 7.1.1)."""
        return self.is_received and self.sent is not None

    @property
    def outcome(self) -> tuple[int, str]:
        """The code and reason for the close listeners; 1006 if this side sent no close frame (section 7.1.5)."""
        return self.sent or (int(CloseCode.ABNORMAL), "")
