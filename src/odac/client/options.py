"""Checks the options of the Python client."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from odac.wire.headers import is_token

__all__ = ["check_subprotocols", "checked_headers"]

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""RFC 9110 section 5.5: visible characters, spaces and tabs, and bytes from 0x80."""


def checked_headers(headers: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Return the fields of ``headers``.

    Raises:
        TypeError: a name or value is no str.
        ValueError: a name or value that HTTP cannot carry, or the header ``Cookie``.
    """
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"headers: {name!r}: must be a str, and its value too, not {type(value).__name__}")
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError(
                f"headers: {name!r} has a name or value that an HTTP header cannot carry: encode what is not ASCII"
            )
        if name.lower() == "cookie":
            raise ValueError("headers: give cookies with cookies={name: value}, so that the server can change them")
    return tuple((headers or {}).items())


def check_subprotocols(names: Sequence[str]) -> None:
    """Check the names of subprotocols.

    Raises:
        ValueError: a name that is not a token, or a str in place of a list.
    """
    if isinstance(names, str):
        raise ValueError(f"subprotocols={names!r}: must be a list: [{names!r}]")
    for name in names:
        if not isinstance(name, str) or not is_token(name):
            raise ValueError(f"subprotocols: {name!r} has characters that a subprotocol cannot (RFC 6455 section 4.1)")
