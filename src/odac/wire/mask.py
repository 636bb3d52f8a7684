"""Masking of client frames (RFC 6455 section 5.3), in C if it is compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odac.speedups import COMPILED, compiled

__all__ = ["apply_mask"]

if TYPE_CHECKING:

    def apply_mask(data: bytes | bytearray | memoryview, mask: bytes | bytearray) -> bytes:
        """Return ``data`` XORed with the four bytes of ``mask``, repeated; masking and unmasking are the same.

        Raises:
            ValueError: the mask is of another length.
        """
        ...

elif COMPILED:  # then websockets is not imported, which takes a tenth of Odac's import time
    apply_mask = compiled("apply_mask", None)
else:
    try:
        from websockets.speedups import apply_mask
    except ImportError:
        from websockets.utils import apply_mask
