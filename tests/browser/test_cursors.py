"""The cursors example: one page shows 19 other people's cursors, and they move smoothly."""

from __future__ import annotations

import asyncio
import json
import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

from playwright.sync_api import Browser, expect
from websockets.asyncio.client import connect

from tests.browser.conftest import ServerProcess

OTHERS = 19
WATCH = """(seconds) => new Promise((done) => {
  const frames = []
  const end = performance.now() + seconds * 1000
  const look = (now) => {
    frames.push([now, ...[...document.querySelectorAll('.cursor')].map((each) => {
      const box = each.getBoundingClientRect()
      return [each.textContent, box.x, box.y]
    })])
    if (now < end) requestAnimationFrame(look)
    else done(frames)
  }
  requestAnimationFrame(look)
})"""


async def circle(url: str, number: int, stop: asyncio.Event) -> None:
    """Somebody who moves the pointer in a circle, twenty times a second."""
    async with connect(f"{url}/cursors/Guest%20{number}", open_timeout=30) as connection:
        loop, step = asyncio.get_running_loop(), 0
        begin = loop.time()
        while not stop.is_set():
            angle = (loop.time() - begin) * 1.5 + number
            x, y = 500 + 380 * math.cos(angle) * (0.4 + number / 32), 500 + 380 * math.sin(angle) * (0.4 + number / 32)
            await connection.send(json.dumps([round(x), round(y)]))
            step += 1
            await asyncio.sleep(max(0.0, begin + step * 0.05 - loop.time()))


@contextmanager
def crowd(url: str) -> Iterator[None]:
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def everybody() -> None:
        await asyncio.gather(*(circle(url, number, stop) for number in range(1, OTHERS + 1)))

    thread = threading.Thread(target=loop.run_until_complete, args=(everybody(),))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def test_twenty_cursors_move_smoothly(chromium: Browser, start_server: Callable[..., ServerProcess]) -> None:
    server = start_server("examples.cursors.app:app")
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{server.url}/?name=Ada")
    with crowd(server.url.replace("http", "ws")):
        expect(page.locator(".cursor")).to_have_count(OTHERS)
        expect(page.locator("#count")).to_have_text(f"{OTHERS + 1} are here.")
        page.mouse.move(200, 200)
        frames = page.evaluate(WATCH, 3)
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=f"{folder}/cursors.png")
        expect(page.locator(".cursor")).to_have_count(OTHERS)  # its own is not drawn
    moved = total = 0
    farthest = 0.0
    for (_, *before), (_, *after) in pairwise(frames):
        for (name, x, y), (other, to_x, to_y) in zip(before, after, strict=True):
            assert name == other
            step = math.hypot(to_x - x, to_y - y)
            total, moved, farthest = total + 1, moved + (step > 0.2), max(farthest, step)
    span = max(math.hypot(x - 640, y - 360) for frame in frames for _, x, y in frame[1:])
    # Positions come 10 times a second; a cursor that jumped to each would stand still in five frames of six.
    assert moved > 0.6 * total, (moved, total)
    assert farthest < 0.5 * span, (farthest, span)
    context.close()
