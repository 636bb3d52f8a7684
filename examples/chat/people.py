"""People: each name belongs to one person at a time, and each person has rate limits."""

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
"""Seconds for which a name stays reserved after its person's last activity, for long disconnections."""

NAME_TAKEN = "Somebody else took your name meanwhile. Sign out and choose another."


@dataclass(frozen=True, slots=True)
class Person:
    """A person who has signed in; the session cookie contains the same data."""

    id: str
    name: str

    def as_json(self) -> dict[str, str]:
        """The form in which messages and the session carry a person."""
        return {"id": self.id, "name": self.name}


class Names:
    """The owners of names. ``Ada``, ``ADA`` and names that look like them are the same name."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._holders: dict[str, tuple[str, float]] = {}

    def sign_in(self, text: str) -> Person:
        """Return a new person with this name.

        Raises:
            NotAllowed: it is not a valid name, or another person has it.
        """
        person = Person(secrets.token_urlsafe(9), clean_name(text))
        if not self.keep(person):
            raise NotAllowed(f"Somebody here is already called {person.name}. Please choose another name.")
        return person

    def keep(self, person: Person) -> bool:
        """Reserve the name for this person for a further period; return False if another person has it now."""
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
        """The person is connected or has just disconnected: reserve the name for a further period.

        Returns False if the name is no longer theirs, because they signed out.
        """
        return self._holder(person) == person.id and self.keep(person)

    def give_up(self, person: Person) -> None:
        """The person has signed out: the name is free at once."""
        if self._holder(person) == person.id:
            del self._holders[look(person.name)]

    def _holder(self, person: Person) -> str | None:
        return self._holders.get(look(person.name), (None, 0.0))[0]


class Pace:
    """A rate limit: ``burst`` actions at once, then one per ``seconds``."""

    __slots__ = ("_burst", "_clock", "_full_at", "_seconds")

    def __init__(self, burst: int, seconds: float, clock: Clock = time.monotonic) -> None:
        self._burst = burst
        self._seconds = seconds
        self._clock = clock
        self._full_at = 0.0  # the time at which the whole burst is available again

    @property
    def rested(self) -> bool:
        """Whether the whole burst is available, so that this object can be dropped."""
        return self._full_at <= self._clock()

    def wait(self) -> float:
        """Count one action and return 0; or, if none is allowed now, return the seconds until one is."""
        now = self._clock()
        full_at = max(self._full_at, now) + self._seconds
        over = full_at - now - self._burst * self._seconds
        if over > 1e-9:
            return over
        self._full_at = full_at
        return 0.0


class Paces:
    """One rate limit per person, over all their tabs and reconnects, or per client that has not signed in yet."""

    def __init__(self, burst: int, seconds: float, clock: Clock = time.monotonic) -> None:
        self._burst = burst
        self._seconds = seconds
        self._clock = clock
        self._paces: dict[str, Pace] = {}

    def of(self, person: Person | str) -> Pace:
        """The rate limit of this person, or of the client at this address."""
        key = person.id if isinstance(person, Person) else _network(person)
        if len(self._paces) > 10_000:
            self._paces = {key: pace for key, pace in self._paces.items() if not pace.rested}
        return self._paces.setdefault(key, Pace(self._burst, self._seconds, self._clock))


def _network(address: str) -> str:
    """The network of an address, which counts as one client: a home or a phone has a whole IPv6 /64."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ip_network((int(found) >> 64 << 64, 64)))
