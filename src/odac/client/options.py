"""Checks the options of the Python client."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ssl import SSLContext
from typing import Any, Final

from odac.wire.headers import is_token

__all__ = ["check_headers", "check_mapping", "check_subprotocols", "check_types", "checked_headers"]

_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""RFC 9110 section 5.5: visible characters, spaces and tabs, and bytes from 0x80."""


def check_mapping(option: str, fields: Any) -> None:
    """Check that an option maps names to values, all of them str.

    Raises:
        TypeError: it does not.
    """
    if not isinstance(fields, Mapping):
        raise TypeError(f"{option}: must be a dict of names and values, not {type(fields).__name__}")
    for name, value in fields.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(
                f"{option}: {name!r}: name and value must be a str each, not {type(name).__name__} and"
                f" {type(value).__name__}"
            )


def check_headers(headers: Mapping[str, str]) -> None:
    """Check that HTTP can carry these headers.

    Raises:
        TypeError: it is not a dict, or a name or value is not a str.
        ValueError: a name or value that HTTP cannot carry.
    """
    check_mapping("headers", headers)
    for name, value in headers.items():
        if not is_token(name) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError(
                f"headers: {name!r} has a name or value that an HTTP header cannot carry: encode what is not ASCII"
            )


def checked_headers(headers: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Return the fields of ``headers``.

    Raises:
        TypeError: it is not a dict, or a name or value is not a str.
        ValueError: a name or value that HTTP cannot carry, or the header ``Cookie``.
    """
    fields = headers or {}
    check_headers(fields)
    for name in fields:
        if name.lower() == "cookie":
            raise ValueError("headers: give cookies with cookies={name: value}, so that the server can change them")
    return tuple(fields.items())


def check_subprotocols(names: Sequence[str]) -> None:
    """Check the names of subprotocols.

    Raises:
        TypeError: it is not a list.
        ValueError: a name that is not a token, or a str in place of a list.
    """
    if isinstance(names, str):
        raise ValueError(f"subprotocols={names!r}: must be a list: [{names!r}]")
    if not isinstance(names, Sequence):
        raise TypeError(f"subprotocols={names!r}: must be a list of names, such as ['chat']")
    for name in names:
        if not isinstance(name, str) or not is_token(name):
            raise ValueError(
                f"subprotocols: {name!r} must be a str without spaces, commas and other separators (RFC 6455 section"
                " 4.1)"
            )


def check_types(*, auth: Any, token: Any, ssl: Any) -> None:
    """Check the types of these options; what a function ``auth`` returns is checked at each attempt.

    Raises:
        TypeError: ``auth`` is neither a str nor a function, nor None; ``token`` is not a bool; or ``ssl`` is neither an
            SSLContext nor None.
    """
    if auth is not None and not isinstance(auth, str) and not callable(auth):
        raise TypeError(f"auth=: must be a str or a function that returns one, not {type(auth).__name__}")
    if not isinstance(token, bool):
        raise TypeError(
            f"token=: must be True or False, not {type(token).__name__}: the client requests tokens itself, and a"
            " bearer token is given as auth="
        )
    if ssl is not None and not isinstance(ssl, SSLContext):  # asyncio would take False for a connection without TLS
        raise TypeError(f"ssl=: must be an ssl.SSLContext, or None for the default one, not {type(ssl).__name__}")
