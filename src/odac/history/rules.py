"""The rules for history: which rooms keep their messages, how many and for how long."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import msgspec

from odac.errors import ConfigurationError
from odac.realtime.audience import check_room, is_private, is_user_room
from odac.realtime.patterns import matches
from odac.spelling import check_fields

__all__ = ["UNKNOWN_ERA", "History", "Rule", "RuleBook"]

MAX_SIZE: Final = 10_000
"""The most entries of one room: a client cannot recover more anyway, and rooms share the broker's memory."""
MAX_BYTES: Final = 64 * 1024 * 1024
LONGEST: Final = 31 * 86_400.0
"""Seconds: history covers the time of a disconnection; an archive belongs in a database."""
MAX_RULES: Final = 1000
UNKNOWN_ERA: Final = bytes(8)
_USERS: Final = ""
REMEMBERED: Final = 4096
"""Rooms whose rules are cached. Bounded, because clients may be able to choose names."""


@check_fields
@dataclass(frozen=True, slots=True)
class History:
    """What a room keeps of its messages.

    Args:
        size: how many of the last messages, 1 to 10,000.
        ttl: seconds that a message is kept, at most 31 days.
        max_bytes: the limit for all kept messages of one room together, at most 64 MiB; the oldest are dropped first.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    size: int = 256
    ttl: float = 3600.0
    max_bytes: int = 1024 * 1024

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 1 <= self.size <= MAX_SIZE:
            raise ConfigurationError(f"History(size={self.size!r}): must be a whole number from 1 to {MAX_SIZE}")
        if (
            isinstance(self.ttl, bool)
            or not isinstance(self.ttl, (int, float))
            or not 0.001 <= self.ttl <= LONGEST  # refuses NaN as well
        ):
            raise ConfigurationError(f"History(ttl={self.ttl!r}): must be a number of seconds above 0, at most 31 days")
        if type(self.max_bytes) is not int or not 1024 <= self.max_bytes <= MAX_BYTES:
            raise ConfigurationError(
                f"History(max_bytes={self.max_bytes!r}): must be a whole number of bytes from 1024 to {MAX_BYTES}"
            )


class Rule(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A history for the rooms that a pattern matches.

    Args:
        pattern: a room's name, or one with ``*``, which stands for any text, also none.
        history: what such a room keeps.
    """

    pattern: str
    history: History

    def matches(self, room: str) -> bool:
        """Whether the pattern matches the room. Takes time linear in the lengths of both, for any contents."""
        return matches(self.pattern, room)


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rules: list[Rule]
    users: History | None = None
    eras: dict[str, bytes] = {}


class RuleBook:
    """All rules of an app: exact names win, then the first pattern that matches.

    Each rule has an *era*, a random name that is drawn when the rule is written where it was not. It tells apart a rule
    that has been in force all the time from one that was away in between, when publishers kept nothing.

    Args:
        rules: the rules, in the order in which they were added.
        users: what each user's inbox keeps.
        eras: by pattern; the empty pattern stands for the users' rule. Those that are not there are not known yet.
    """

    __slots__ = ("_eras", "_exact", "_found", "_patterns", "users")

    def __init__(
        self,
        rules: tuple[Rule, ...] = (),
        users: History | None = None,
        eras: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        self._eras = eras
        self._exact: Mapping[str, History] = {rule.pattern: rule.history for rule in rules if "*" not in rule.pattern}
        self._patterns = tuple(rule for rule in rules if "*" in rule.pattern)
        self._found: dict[str, History | None] = {}
        self.users = users

    def __bool__(self) -> bool:
        return bool(self._exact or self._patterns or self.users)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules for rooms."""
        return (*(Rule(name, history) for name, history in self._exact.items()), *self._patterns)

    def of(self, room: str) -> History | None:
        """What a room keeps, or None for a room without history."""
        try:
            return self._found[room]
        except KeyError:
            found = self._look_up(room)
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            self._found[room] = found
            return found

    def era_of(self, room: str) -> bytes:
        """The era of the rule of a room: 8 bytes, zeros where it is not known."""
        if is_private(room):
            pattern = _USERS
        elif room in self._exact:
            pattern = room
        else:
            pattern = next((rule.pattern for rule in self._patterns if rule.matches(room)), room)
        return self._eras.get(pattern, UNKNOWN_ERA)

    def continuing(self, before: RuleBook) -> RuleBook:
        """The same, with the eras of the rules that were there before, and with new ones for the others."""
        names = [rule.pattern for rule in self.rules]
        if self.users is not None:
            names.append(_USERS)
        known = before._eras
        eras = {name: known[name] if name in known else os.urandom(len(UNKNOWN_ERA)) for name in names}
        return RuleBook(self.rules, self.users, eras)

    def _look_up(self, room: str) -> History | None:
        if is_private(room):
            return self.users if is_user_room(room) else None
        exact = self._exact.get(room)
        if exact is not None:
            return exact
        return next((rule.history for rule in self._patterns if rule.matches(room)), None)

    def with_rooms(self, pattern: str, history: History) -> RuleBook:
        """Return a copy with one more rule.

        Raises:
            TypeError: the pattern is not a str, or the history is not a History.
            ConfigurationError: the pattern is no valid name, has a rule already, or there are 1,000 rules.
        """
        if not isinstance(history, History):
            raise TypeError(f"rooms(history=…) takes a History(…), not {type(history).__name__}")
        try:
            check_room(pattern)
        except ValueError as error:
            raise ConfigurationError(f"rooms({pattern!r}): {error}") from None
        rules = self.rules
        if any(rule.pattern == pattern for rule in rules):
            raise ConfigurationError(f"rooms({pattern!r}): there is a rule for this pattern already")
        if len(rules) >= MAX_RULES:
            raise ConfigurationError(f"rooms({pattern!r}): more than {MAX_RULES} rules; use a pattern with *")
        return RuleBook((*rules, Rule(pattern, history)), self.users, self._eras)

    def with_users(self, history: History) -> RuleBook:
        """Return a copy with a history for every user's inbox.

        Raises:
            TypeError: the history is not a History.
        """
        if not isinstance(history, History):
            raise TypeError(f"users(history=…) takes a History(…), not {type(history).__name__}")
        return RuleBook(self.rules, history, self._eras)

    def encode(self) -> bytes:
        """The rules in their encoded form, for the broker."""
        return msgspec.json.encode(_Written(list(self.rules), self.users, dict(self._eras)))

    @staticmethod
    def decode(written: bytes) -> RuleBook:
        """Decode the rules from the broker.

        Raises:
            ValueError: no process of this version writes such rules.
        """
        try:
            read = msgspec.json.decode(written, type=_Written)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
        if any(len(era) != len(UNKNOWN_ERA) for era in read.eras.values()):
            raise ValueError("an era has another length")
        return RuleBook(tuple(read.rules), read.users, read.eras)
