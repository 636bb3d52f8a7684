"""A route's path as a pattern, which matches any path of 8 KiB within a millisecond.

Starlette's pattern is one regular expression. It takes linear time as long as a segment has one parameter. With
several, such as ``{name}.{ext}``, a hostile path makes it try every way to divide the segment: 0.3 s for 8,000 dots. So
such segments are divided here, from the right, which finds the same division without backtracking.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.convertors import CONVERTOR_TYPES, Convertor

from odac.errors import ConfigurationError

__all__ = ["Pattern"]

_parameters = re.compile(r"{([a-zA-Z_][a-zA-Z0-9_]*)(?::([a-zA-Z_][a-zA-Z0-9_]*))?}")

_WRONG: Final = {
    r"\{[^}]*$|^[^{]*\}|\{\w*:?\}": "a parameter is written {name} or {name:convertor}",
    r"<[^/]*>": "a parameter is written {name} or {name:convertor}",
    r"[?#].*": "a path has no query and no fragment; read odac.request.query in the handler",
    r"(?<=/):[A-Za-z_]\w*": "a parameter is written {name}; a path that begins a segment with ':' is none",
    r"(?<=/)\*+(?=/|$)": "what takes any rest is written {name:path}",
    r"\s+$": "no path ends with a space",
    r"%[0-9a-fA-F]{2}": "paths are compared decoded: write the character itself",
}
"""Patterns that no request's path can match, or that are most likely mistakes; each with the fix."""

_LONGEST_GUESSED: Final = 256
"""Characters of a path that is compared with a pattern that leaves several ways to divide it and is not simple enough.
"""


class Pattern:
    """The pattern of a route's paths.

    Args:
        path: the path with Starlette's parameters, such as ``/room/{id}``.

    Attributes:
        convertors: the convertors of the parameters, by name.
        shape: equal for two paths that differ only in the names of their parameters.

    Raises:
        ConfigurationError: the path cannot be parsed; the message gives the reason.
    """

    __slots__ = ("_longest", "_regex", "_segments", "convertors", "shape")

    def __init__(self, path: str) -> None:
        if not isinstance(path, str) or not path.startswith("/"):
            raise ConfigurationError(f"the path {path!r} must be a str that begins with '/'")
        for wrong, why in _WRONG.items():
            found = re.search(wrong, _parameters.sub("", path))
            if found is not None:
                raise ConfigurationError(f"the path {path!r} holds {found[0]!r}: {why}")
        try:
            self._regex, convertors = _compile(path)
        except ValueError as error:
            known = ", ".join(CONVERTOR_TYPES)
            raise ConfigurationError(f"the path {path!r} cannot be read: {error} (there are {known})") from None
        self.convertors: Mapping[str, Convertor[Any]] = convertors
        self.shape: str = _parameters.sub(lambda found: f"{{{found[2] or 'str'}}}", path)
        self._segments: list[_Segment] | None = None
        self._longest: int | None = None
        segments = [_Segment(each) for each in path.split("/")]
        paths = sum(kind == "path" for segment in segments for kind in segment.kinds)
        if paths > 1 or any(len(segment.kinds) > 1 for segment in segments):
            if paths == 0 and all(segment.is_dividable for segment in segments):
                self._segments = segments
            else:
                self._longest = _LONGEST_GUESSED

    def match(self, path: str) -> dict[str, Any] | None:
        """The path parameters, converted, or None if the path does not match."""
        values = self._divide(path) if self._segments is not None else self._search(path)
        if values is None:
            return None
        try:
            return {name: self.convertors[name].convert(value) for name, value in values.items()}
        except ValueError:
            return None

    def _search(self, path: str) -> dict[str, str] | None:
        if self._longest is not None and len(path) > self._longest:
            return None
        found = self._regex.match(path)
        return found.groupdict() if found is not None else None

    def _divide(self, path: str) -> dict[str, str] | None:
        segments = self._segments
        assert segments is not None
        if path.count("/") != len(segments) - 1:
            return None
        values: dict[str, str] = {}
        for segment, text in zip(segments, path.split("/"), strict=True):
            if not segment.divide(text, values):
                return None
        return values


def _compile(path: str) -> tuple[re.Pattern[str], dict[str, Convertor[Any]]]:
    """The result of Starlette's ``compile_path``, without importing half of Starlette.

    Raises:
        ValueError: there is no such convertor, or a name is used twice.
    """
    regex, convertors, end = "^", dict[str, "Convertor[Any]"](), 0
    for found in _parameters.finditer(path):
        name, kind = found[1], found[2] or "str"
        if kind not in CONVERTOR_TYPES:
            raise ValueError(f"Unknown path convertor {kind!r}")
        if name in convertors:
            raise ValueError(f"Duplicated param name {name} at path {path}")
        convertors[name] = CONVERTOR_TYPES[kind]
        regex += f"{re.escape(path[end : found.start()])}(?P<{name}>{convertors[name].regex})"
        end = found.end()
    return re.compile(f"{regex}{re.escape(path[end:])}$"), convertors


class _Segment:
    """One segment of a pattern: texts with parameters between them."""

    __slots__ = ("_first", "_last", "_pieces", "kinds")

    def __init__(self, pattern: str) -> None:
        first, *rest = _parameters.split(pattern)
        names, self.kinds, texts = rest[::3], [kind or "str" for kind in rest[1::3]], rest[2::3]
        self._first = first
        self._last = texts[-1] if texts else ""
        # From the right: the text before a parameter, and the parameter.
        self._pieces: list[tuple[str, str, Callable[[str], object]]] = [
            (before, name, _valid.get(kind, bool))
            for before, name, kind in zip([first, *texts[:-1]], names, self.kinds, strict=False)
        ][::-1]

    @property
    def is_dividable(self) -> bool:
        """Whether the last occurrence of each text is always the right one: the part to its left may be anything."""
        return (
            all(kind == "str" for kind in self.kinds[:-1])
            and all(kind in _valid for kind in self.kinds)
            and all(before for before, _, _ in self._pieces[:-1])
        )

    def divide(self, text: str, values: dict[str, str]) -> bool:
        """Store the parameters' values in ``values``; return False if the text does not match."""
        if not self._pieces:
            return text == self._first
        start, end = len(self._first), len(text) - len(self._last)
        if end <= start or not text.startswith(self._first) or not text.endswith(self._last):
            return False
        for before, name, is_valid in self._pieces[:-1]:
            found = text.rfind(before, start + 1, end - 1)
            if found < 0 or not is_valid(value := text[found + len(before) : end]):
                return False
            values[name] = value
            end = found
        _, name, is_valid = self._pieces[-1]
        values[name] = text[start:end]
        return bool(is_valid(values[name]))


_valid: Final[dict[str, Callable[[str], object]]] = {"str": bool, "int": re.compile("[0-9]+").fullmatch}
"""Convertors for which any part of a valid value is valid, each with a check of a text without slashes."""
