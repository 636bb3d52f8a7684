"""The error for a call on another thread than the event loop's."""

from __future__ import annotations

from typing import Final

__all__ = ["wrong_thread"]

_COROUTINE: Final = "odac.ws.call"
"""The only coroutine function among the calls that must be made on the event loop's thread."""


def wrong_thread(call: str) -> RuntimeError:
    """Return the error, which says how to make the call from another thread.

    Args:
        call: what the application calls, such as ``odac.ws.join``.
    """
    name = call.rpartition(".")[2]
    instead = f"loop.call_soon_threadsafe({call}, …)"
    if call == _COROUTINE:
        instead = f"asyncio.run_coroutine_threadsafe({call}(…), loop)"
    return RuntimeError(f"{name}() must be called on the event loop's thread: from another thread, use {instead}")
