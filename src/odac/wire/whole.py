"""The most frequent thing that a client sends: one text message below 64 KiB, whole, alone in its chunk."""

from __future__ import annotations

from odac.speedups import compiled
from odac.wire.mask import apply_mask

__all__ = ["reference_whole_text", "whole_text"]


def reference_whole_text(data: bytes, limit: int) -> bytes | None:
    """Return the payload if ``data`` is exactly one unfragmented, uncompressed, masked text frame of ASCII, else None.

    Args:
        data: what has come.
        limit: bytes of the longest payload; -1 where nothing may be taken this way.
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
