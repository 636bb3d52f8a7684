"""Masking of client frames (RFC 6455 section 5.3), in C where the platform has it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

__all__ = ["apply_mask"]

if TYPE_CHECKING:

    def apply_mask(data: bytes | bytearray | memoryview, mask: bytes | bytearray) -> bytes:
        """Return ``data`` XORed with the four bytes of ``mask``, repeated; masking and unmasking are the same.

        Raises:
            ValueError: the mask is of another length.
        """
        ...

else:
    try:
        if os.environ.get("ODAC_SPEEDUPS") == "0":
            raise ImportError
        from odac._speedups import apply_mask
    except ImportError:
        try:
            from websockets.speedups import apply_mask
        except ImportError:
            from websockets.utils import apply_mask
