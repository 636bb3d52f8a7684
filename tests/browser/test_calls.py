"""Calls between a page in Chromium and the app, on a connection of its own and on a shared one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import ServerProcess

SCRIPT = """async (shared) => {
  const ws = Odac.ws('/calls', {shared, reconnectDelay: 50})
  const told = {}
  const refused = (promise) => promise.then((value) => value, (error) => [error.name, error.code ?? error.message])
  ws.answer('confirm', async ({to}) => 'yes, ' + to)
  told.answered = await ws.call('move', {to: 'e4'}, {timeout: 20000})
  told.illegal = await refused(ws.call('move', {to: 'a9'}))
  told.invalid = await refused(ws.call('move', {to: 7}))
  told.unknown = await refused(ws.call('nothing'))
  told.timeout = await refused(ws.call('slow', null, {timeout: 50}))
  const controller = new AbortController()
  setTimeout(() => controller.abort(new Error('enough')), 20)
  told.aborted = await refused(ws.call('slow', null, {signal: controller.signal}))
  told.interrupted = await refused(ws.call('drop', 'plain', {timeout: 20000}))
  told.once = await refused(ws.call('drop', 'retried', {retry: true, timeout: 20000}))
  ws.close()
  told.closed = await refused(ws.call('move', {to: 'e4'}))
  return told
}"""


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
def test_every_call_ends_as_it_should(
    chromium: Browser, start_server: Callable[..., ServerProcess], shared: bool
) -> None:
    server = start_server("tests.browser.calls_app:app")
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{server.url}/odac/docs")
    told = page.evaluate(SCRIPT, shared)
    assert told == {
        "answered": "yes, e4",
        "illegal": ["OdacCallError", "illegal"],
        "invalid": ["OdacCallError", "invalid"],
        "unknown": ["OdacCallError", "unknown"],
        "timeout": ["OdacCallError", "timeout"],
        "aborted": ["Error", "enough"],
        "interrupted": ["OdacCallError", "interrupted"],
        "once": ["plain", "retried"],
        "closed": ["OdacCallError", "cancelled"],
    }
    context.close()
