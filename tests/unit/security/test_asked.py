from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from odac import Odac
from odac.security.asked import Asked
from odac.testing import TestClient
from tests.unit.test_app import SECRET


async def answer() -> int:
    await asyncio.sleep(0)
    return 7


def asked() -> Asked[int]:
    return Asked(answer(), "odac.auth.check()")


def test_it_is_awaited_as_a_coroutine_is() -> None:
    async def main() -> list[int]:
        task = asyncio.create_task(asked())
        return [await asked(), await task, *await asyncio.gather(asked()), await asyncio.wait_for(asked(), 30)]

    assert asyncio.run(main()) == [7, 7, 7, 7]


def test_it_can_be_cancelled_and_closed() -> None:
    async def main() -> None:
        task = asyncio.create_task(asked())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        asked().close()

    asyncio.run(main())


def test_a_task_that_awaits_it_has_a_representation() -> None:
    async def main() -> tuple[str, int]:
        task = asyncio.create_task(asked())
        return repr(task), await task

    text, result = asyncio.run(main())
    assert "Asked" in text
    assert result == 7


@pytest.mark.parametrize("use", [lambda user: user["name"], lambda user: user.name])
def test_a_forgotten_await_is_named_where_the_answer_is_used(use: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match=r"write `await odac.auth.check\(\)`"):
        use(asked())


@pytest.mark.parametrize("method", ["check", "user"])
def test_a_forgotten_await_admits_no_client(method: str) -> None:
    app = Odac(SECRET)

    @app.route.ws("/admin", token=False)
    def admin(odac: Any) -> None:
        if getattr(odac.auth, method)():
            odac.ws.send("let in")

    with TestClient(app, raise_exceptions=False) as client, client.connect("/admin") as ws:
        assert ws.unread == []
        assert ws.closed is not None
        assert ws.closed[0] == 1011
    with (
        pytest.raises(TypeError, match=rf"write `await odac\.auth\.{method}\(\)`"),
        TestClient(app) as client,
        client.connect("/admin"),
    ):
        pass
