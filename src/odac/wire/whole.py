"""The most frequent thing that a client sends: one small text message, whole, alone in its chunk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from odac.wire.mask import apply_mask

__all__ = ["reference_whole_text", "whole_text"]


def reference_whole_text(data: bytes, limit: int) -> bytes | None:
    """Return the payload if ``data`` is exactly one unfragmented, uncompressed, masked text frame of ASCII, else None.

    Args:
        data: at most 131 bytes matter: the payload of such a frame is below 126.
        limit: bytes of the longest chunk to look at; 0 where nothing may be taken this way.
    """
    end = len(data)
    if 5 < end <= limit and data[1] == end + 122 and data[0] == 0x81:
        payload = apply_mask(data[6:], data[2:6])
        if payload.isascii():
            return payload
    return None


whole_text = reference_whole_text
if not TYPE_CHECKING and os.environ.get("ODAC_SPEEDUPS") != "0":
    try:
        from odac._speedups import whole_text
    except ImportError:
        pass  # not compiled here: the function above is as right, and slower
