"""The browser client's calls with ``retry``, through a network that cuts connections after any byte, to a process that
is killed: none is executed twice, every caller is told, and what the caller is told is true.

``ODAC_TEST_BROWSER_CALLS`` says how many calls there are; ``make calls-faults`` makes more.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import ServerProcess
from tests.integration.cutting_proxy import CuttingProxy, after_any_byte
from tests.integration.test_calls_faults import check

pytestmark = pytest.mark.slow

CALLS = int(os.environ.get("ODAC_TEST_BROWSER_CALLS", "400"))
CLIENTS = 4
SHARE = CALLS // CLIENTS

SCRIPT = """([clients, share]) => {
  window.told = {}
  window.failed = undefined
  const caller = async (client) => {
    const ws = Odac.ws('/pay', { token: false, reconnectDelay: 10, maxReconnectAttempts: null })
    ws.on('reconnecting', () => dispatchEvent(new Event('online')))  // at once, whatever the delay has grown to
    const names = [...Array(share).keys()].map((number) => `${client}-${number}`)
    const oneAfterTheOther = async () => {
      for (let name; (name = names.shift()); ) {
        told[name] = await ws.call('pay', name, { retry: true, timeout: 60000 }).then(
          (answer) => (answer === name ? 'answered' : `answered with ${answer}`),
          (error) => error.code ?? `${error}`,
        )
      }
    }
    await Promise.all([...Array(8)].map(oneAfterTheOther))
    ws.close()
  }
  window.done = Promise.all([...Array(clients).keys()].map(caller)).catch((error) => { window.failed = `${error}` })
}"""


@contextmanager
def network(server: ServerProcess) -> Iterator[tuple[CuttingProxy, int, threading.Event]]:
    """A way to the server, its port, and what begins the cutting."""
    armed = threading.Event()
    cut = after_any_byte(random.Random(7))
    proxy = CuttingProxy(server.port, lambda: cut() if armed.is_set() else (None, None))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    starting = asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    listener = asyncio.run_coroutine_threadsafe(starting, loop).result(timeout=30)

    async def stop() -> None:
        listener.close()
        # The browser is gone, and with it each connection's task ends by itself.
        if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            _, left = await asyncio.wait(tasks, timeout=20)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        for _ in range(10):  # aborted transports are closed in one of the loop's next turns
            await asyncio.sleep(0)

    try:
        yield proxy, listener.sockets[0].getsockname()[1], armed
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(timeout=30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.parametrize("kills", [0, 1], ids=["cut", "cut-and-killed"])
def test_no_call_is_executed_twice_and_every_caller_gets_a_result(
    chromium: Browser, start_server: Callable[..., ServerProcess], tmp_path: Path, kills: int
) -> None:
    journal = tmp_path / "journal"
    server = start_server("tests.integration.calls_app:app", {"CALLS_JOURNAL": str(journal)})
    context = chromium.new_context()
    page = context.new_page()
    with network(server) as (proxy, port, armed):
        page.goto(f"http://127.0.0.1:{port}/odac/odac.js")
        page.add_script_tag(url="/odac/odac.js")
        armed.set()
        page.evaluate(SCRIPT, [CLIENTS, SHARE])
        timeout = 120_000 + CALLS * 50
        for part in range(1, kills + 1):
            half = CALLS * part // (kills + 1)
            page.wait_for_function("(many) => Object.keys(told).length >= many || failed", arg=half, timeout=timeout)
            server.kill()
            server.start()
        page.wait_for_function(
            "(many) => Object.keys(told).length >= many || failed", arg=SHARE * CLIENTS, timeout=timeout
        )
        assert page.evaluate("failed") is None
        outcomes = page.evaluate("told")
        page.evaluate("done")
        context.close()
        server.kill()
    told = Counter(outcomes.values())
    print(f"{CALLS} calls of the browser, {proxy.cuts} cuts, {kills} kills: {dict(told)}")
    assert len(outcomes) == SHARE * CLIENTS
    check(journal, outcomes)
    assert proxy.cuts > CALLS / 200, "the network was too good"
    assert told["answered"] > CALLS / 2
    if not kills:
        assert told["interrupted"] == 0, "the one process that there is knows what it did"
