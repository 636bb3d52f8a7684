from __future__ import annotations

import pytest

from odac.realtime.loop_thread import wrong_thread


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        ("odac.ws.join", "loop.call_soon_threadsafe(odac.ws.join, …)"),
        ("odac.ws.call", "asyncio.run_coroutine_threadsafe(odac.ws.call(…), loop)"),
    ],
)
def test_the_error_says_how_to_call_from_another_thread(call: str, instead: str) -> None:
    message = str(wrong_thread(call))
    assert message.startswith(call.removeprefix("odac.ws.") + "() must be called on the event loop's thread")
    assert message.endswith(f"from another thread, use {instead}")
