"""Header values of a handshake as RFC 9110 writes them: tokens, lists, extensions with parameters. Linear in their
length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

__all__ = ["MAX_LIST", "Malformed", "is_token", "parse_extensions", "split_list"]

MAX_LIST: Final = 64
"""Elements of one list header, empty ones included. Browsers send two or three."""

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PARAMETER: Final = re.compile(
    r"""([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:=(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)|"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)"))?"""
)


class Malformed(ValueError):
    """A header value that does not follow its grammar."""


def is_token(text: str) -> bool:
    """Whether ``text`` is a token (RFC 9110 section 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def split_list(values: Sequence[str]) -> list[str]:
    """Return the elements of a list header (RFC 9110 section 5.6.1), trimmed, empty ones left out.

    Args:
        values: the header's values, one per header line.

    Raises:
        Malformed: more than :data:`MAX_LIST` elements.
    """
    if len(values) + sum(value.count(",") for value in values) > MAX_LIST:
        raise Malformed(f"a list of more than {MAX_LIST} elements")
    elements = (element.strip(" \t") for value in values for element in value.split(","))
    return [element for element in elements if element]


def parse_extensions(values: Sequence[str]) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """Return the extensions that ``Sec-WebSocket-Extensions`` lists, with their parameters (RFC 6455 section 9.1).

    A quoted value must be a token once unquoted, as that section demands, so that no comma can hide in one.

    Raises:
        Malformed: the header does not follow its grammar.
    """
    extensions = []
    for element in split_list(values):
        name, *rest = (part.strip(" \t") for part in element.split(";", MAX_LIST))
        if not is_token(name):
            raise Malformed(f"{name!r} is not the name of an extension")
        parameters: list[tuple[str, str | None]] = []
        for part in rest:
            match = _PARAMETER.fullmatch(part)
            if match is None:
                raise Malformed(f"{part!r} is not a parameter of an extension")
            parameters.append((match[1], match[2] or match[3]))
        extensions.append((name, parameters))
    return extensions
