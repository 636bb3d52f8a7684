"""The promises of every history store, as a model that hypothesis runs over real servers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from odac.brokers.history_registry import make_history
from odac.history.rules import History
from odac.history.store import EVERYTHING, Entry, HistoryStore, Slice
from tests.integration.brokers.servers import Server

STORES = ["memory", "local", "redis", "cluster"]
HISTORY = History(size=6, ttl=3600.0, max_bytes=4096)
CHANNELS = ["odac.room.a", "odac.room.b"]
ORIGINS = [b"1" * 16, b"2" * 16]


class Log:
    """What a log is to hold."""

    def __init__(self) -> None:
        self.epoch: bytes | None = None
        self.bodies: list[bytes] = []
        self.last: dict[bytes, int] = {}
        self.revoked: dict[str, int] = {}


def machine(loop: asyncio.AbstractEventLoop, store: HistoryStore) -> type[RuleBasedStateMachine]:
    def do(coroutine: Any) -> Any:
        return loop.run_until_complete(asyncio.wait_for(coroutine, 20))

    class Model(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.logs = {channel + secrets.token_hex(4): Log() for channel in CHANNELS}
            self.names = list(self.logs)

        @rule(
            which=st.integers(0, 1),
            origin=st.sampled_from(ORIGINS),
            back=st.integers(-3, 2),
            count=st.integers(1, 9),
            size=st.sampled_from([0, 1, 90, 1500]),
        )
        def append(self, which: int, origin: bytes, back: int, count: int, size: int) -> None:
            """Also again what was sent before, or from its middle on, as after a confirmation that was lost."""
            log = self.logs[self.names[which]]
            last = log.last.get(origin, 0)
            first = max(1, last + 1 + back)
            bodies = [b"%s %d " % (origin[:1], number) + b"." * size for number in range(first, first + count)]
            epoch = secrets.token_bytes(16)
            done = do(store.append(self.names[which], HISTORY, origin, first, bodies, epoch))
            skipped = max(0, last + 1 - first) if origin in log.last else 0
            new = bodies[skipped:]
            if new and log.epoch is None:
                log.epoch = epoch
            if new:
                log.bodies += new
                log.last[origin] = first + count - 1
            assert done.epoch == log.epoch
            assert done.top == len(log.bodies)

        @rule(which=st.integers(0, 1), after=st.integers(-8, 40), limit=st.sampled_from([0, 1, 3, EVERYTHING]))
        def read(self, which: int, after: int, limit: int) -> None:
            log = self.logs[self.names[which]]
            found: Slice = do(store.read(self.names[which], HISTORY, after, limit))
            assert found.epoch == log.epoch
            assert found.top == len(log.bodies)
            assert len(log.bodies) - HISTORY.size <= found.base <= len(log.bodies)
            start = max(found.base, found.top + after if after < 0 else after)
            expected = log.bodies[start:][:limit] if log.epoch is not None else []
            assert [entry.body for entry in found.entries] == expected
            assert [entry.offset for entry in found.entries] == list(range(start + 1, start + 1 + len(expected)))
            times = [entry.time for entry in found.entries]
            assert times == sorted(times)
            assert dict(found.revoked) == log.revoked

        @rule(which=st.integers(0, 1))
        def erase(self, which: int) -> None:
            do(store.erase(self.names[which]))
            self.logs[self.names[which]] = Log()

        @rule(which=st.integers(0, 1), user=st.sampled_from(["u1", "u2"]))
        def revoke(self, which: int, user: str) -> None:
            log = self.logs[self.names[which]]
            do(store.revoke(self.names[which], user))
            if log.epoch is not None:
                log.revoked[user] = log.revoked.get(user, 0) + 1

        @invariant()
        def holds_what_its_limits_say(self) -> None:
            for name, log in getattr(self, "logs", {}).items():
                found: Slice = do(store.read(name, HISTORY, 0, EVERYTHING))
                entries: tuple[Entry, ...] = found.entries
                assert len(entries) == found.top - found.base <= HISTORY.size
                assert len(entries) <= 1 or sum(len(entry.body) for entry in entries) <= HISTORY.max_bytes
                if log.bodies:
                    assert entries[-1].body == log.bodies[-1]
                    dropped = log.bodies[found.base - 1] if found.base else b""
                    kept = sum(len(entry.body) for entry in entries)
                    full = len(entries) == HISTORY.size or kept + len(dropped) > HISTORY.max_bytes
                    assert full or found.base == 0, "no entry goes before it must"

    return Model


@pytest.mark.parametrize("name", STORES)
def test_every_store_is_the_model(name: str, servers: Callable[[str], Server]) -> None:
    url = servers(name).url
    loop = asyncio.new_event_loop()

    async def made() -> HistoryStore:
        store = make_history(url, lambda: 1000.0)
        await store.start()
        return store

    store = loop.run_until_complete(made())
    try:
        run_state_machine_as_test(
            machine(loop, store),
            settings=settings(
                max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
    finally:
        loop.run_until_complete(store.stop())
        loop.close()
