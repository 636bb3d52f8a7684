from __future__ import annotations

import asyncio
import threading

import pytest
from django.db import OperationalError, connections

from odac.contrib.django.database import close_broken_connections, database_sync_to_async, read


def test_a_function_runs_in_a_thread_with_its_arguments() -> None:
    @database_sync_to_async
    def add(a: int, *, b: int) -> tuple[int, bool]:
        return a + b, threading.current_thread() is threading.main_thread()

    async def test() -> tuple[int, bool]:
        return await add(1, b=2)

    assert asyncio.run(test()) == (3, False)


def test_what_only_reads_is_tried_twice() -> None:
    tries: list[int] = []

    def fails(times: int) -> str:
        tries.append(times)
        if len(tries) <= times:
            raise OperationalError("the server closed the connection")
        return "read"

    assert asyncio.run(read(lambda: fails(1))) == "read"
    assert len(tries) == 2
    tries.clear()
    with pytest.raises(OperationalError):
        asyncio.run(read(lambda: fails(2)))
    assert len(tries) == 2


@pytest.mark.parametrize("broken", [True, False])
def test_only_connections_that_failed_are_closed(broken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connections["default"]  # what the proxy of this name stands for
    connection.ensure_connection()
    closed: list[bool] = []
    monkeypatch.setattr(connection, "close_if_unusable_or_obsolete", lambda: closed.append(True))
    monkeypatch.setattr(connection, "errors_occurred", broken)
    close_broken_connections()
    assert closed == [True] * broken
