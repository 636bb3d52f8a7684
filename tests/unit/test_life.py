from __future__ import annotations

import asyncio

import pytest

from odac import ConfigurationError, History, Odac
from odac.life import Life
from tests.unit.test_app import SECRET


def life_of(app: Odac) -> Life:
    return app._life


def test_it_starts_once_on_each_event_loop() -> None:
    app = Odac(SECRET)
    life = life_of(app)

    async def visit() -> object:
        await asyncio.gather(*(life.start() for _ in range(3)))
        bus = life.bus
        await life.start()
        assert life.bus is bus
        assert life.runs_here()
        return bus

    first = asyncio.run(visit())
    assert asyncio.run(visit()) is not first, "another loop needs a bus of its own"


def test_rules_are_fixed_while_it_runs() -> None:
    app = Odac(SECRET)

    async def main() -> None:
        async with app.lifespan():
            with pytest.raises(ConfigurationError, match="before it starts"):
                app.rooms("late", history=History())
        app.rooms("in-time", history=History())

    asyncio.run(main())
    assert [pattern for pattern, _, _ in app.room_rules] == ["in-time"]


def test_a_history_that_cannot_start_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Odac(SECRET)
    app.rooms("chat", history=History())
    life = life_of(app)
    history = life._rules.history
    assert history is not None

    async def refuses() -> None:
        raise ConfigurationError("this server keeps no history")

    monkeypatch.setattr(history, "start", refuses)

    async def main() -> None:
        with pytest.raises(ConfigurationError, match="keeps no history"):
            await life.start()
        assert life.bus is None
        assert not life.runs_here()
        assert not app.is_running

    asyncio.run(main())
