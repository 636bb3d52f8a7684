"""People: names that belong to one person at a time, and rate limits for each person."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network

from .names import LONGEST_NAME, NotAllowed, clean_name, look

__all__ = [
    "KEPT_FOR",
    "LONGEST_NAME",
    "NAME_TAKEN",
    "Clock",
    "Names",
    "NotAllowed",
    "Pace",
    "Paces",
    "Person",
    "clean_name",
]

Clock = Callable[[], float]

KEPT_FOR = 600.0
"""Seconds for which a name stays taken after its person was last seen: long enough to come back from a tunnel."""

NAME_TAKEN = "Somebody else took your name meanwhile. Sign out and choose another."


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signed in; also what the session cookie holds."""

    id: str
    name: str

    def as_json(self) -> dict[str, str]:
        """The form in which messages and the session carry a person."""
        return {"id": self.id, "name": self.name}


class Names:
    """Which name is whose. ``Ada``, ``ADA`` and what looks like it are one name."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._holders: dict[str, tuple[str, float]] = {}

    def sign_in(self, text: str) -> Person:
        """A new person of this name.

        Raises:
            NotAllowed: the name is not a name, or somebody else has it.
        """
        person = Person(secrets.token_urlsafe(9), clean_name(text))
        if not self.keep(person):
            raise NotAllowed(f"Somebody here is already called {person.name}. Please choose another name.")
        return person

    def keep(self, person: Person) -> bool:
        """Keep the name for this person for a while longer; False when it has become somebody else's."""
        now = self._clock()
        key = look(person.name)
        holder, until = self._holders.get(key, (person.id, 0.0))
        if holder != person.id and until > now:
            return False
        if len(self._holders) > 10_000:
            self._holders = {name: held for name, held in self._holders.items() if held[1] > now}
        self._holders[key] = (person.id, now + KEPT_FOR)
        return True

    def seen(self, person: Person) -> bool:
        """The person is still here, or has just gone: a name that they hold stays theirs for a while longer.

        False when it is not theirs any more, because they signed out.
        """
        return self._holder(person) == person.id and self.keep(person)

    def give_up(self, person: Person) -> None:
        """The person signed out: the name is free at once."""
        if self._holder(person) == person.id:
            del self._holders[look(person.name)]

    def _holder(self, person: Person) -> str | None:
        return self._holders.get(look(person.name), (None, 0.0))[0]


class Pace:
    """How fast one person may go: ``burst`` at once, then one per ``seconds``."""

    __slots__ = ("_burst", "_clock", "_full_at", "_seconds")

    def __init__(self, burst: int, seconds: float, clock: Clock = time.monotonic) -> None:
        self._burst = burst
        self._seconds = seconds
        self._clock = clock
        self._full_at = 0.0  # when all of the burst is available again

    @property
    def rested(self) -> bool:
        """Whether nothing was used lately, so that forgetting this pace changes nothing."""
        return self._full_at <= self._clock()

    def wait(self) -> float:
        """Use one turn and return 0, or use none and return the seconds until the next turn."""
        now = self._clock()
        full_at = max(self._full_at, now) + self._seconds
        over = full_at - now - self._burst * self._seconds
        if over > 1e-9:
            return over
        self._full_at = full_at
        return 0.0


class Paces:
    """One pace per person, over all their tabs and reconnects; or per client that has not signed in yet."""

    def __init__(self, burst: int, seconds: float, clock: Clock = time.monotonic) -> None:
        self._burst = burst
        self._seconds = seconds
        self._clock = clock
        self._paces: dict[str, Pace] = {}

    def of(self, person: Person | str) -> Pace:
        """The pace of this person, or of the client at this address."""
        key = person.id if isinstance(person, Person) else _network(person)
        if len(self._paces) > 10_000:
            self._paces = {key: pace for key, pace in self._paces.items() if not pace.rested}
        return self._paces.setdefault(key, Pace(self._burst, self._seconds, self._clock))


def _network(address: str) -> str:
    """The client that an address stands for: a home or a phone has all addresses of an IPv6 /64."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ip_network((int(found) >> 64 << 64, 64)))
