"""The animation below the README's title: the real chat, two people, and a server that is killed.

``python -m scripts.pictures.animation`` starts the chat with two workers, opens ``/two`` in Chromium, lets the two write
to each other, kills both workers with SIGKILL, and writes the film into ``docs/pictures/chat.webp``.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Frame, Locator, Page, expect, sync_playwright

__all__ = ["Film", "record"]

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "docs" / "pictures" / "chat.webp"
WIDTH, HEIGHT, CAPTION = 960, 520, 40
WAIT = 30_000
"""Milliseconds that something may take on a busy machine before the script gives up."""
WATCH = """() => {
    const {dataset} = document.querySelector('#status')
    new MutationObserver(() => { window.disconnected ||= dataset.state === 'trying' })
        .observe(document.querySelector('#status'), {attributes: true})
}"""
"""Sets ``window.disconnected`` once the page shows that the connection is lost, however short that is."""


class Film:
    """Pictures of a page, each with a caption and the milliseconds for which it is shown."""

    def __init__(self, page: Page) -> None:
        self.frames: list[tuple[Image.Image, int]] = []
        self.caption = ""
        self._page = page
        self._font = ImageFont.load_default(17)

    def show(self, milliseconds: int) -> None:
        """Take a picture, which is shown for so many milliseconds."""
        picture = Image.new("RGB", (WIDTH, HEIGHT + CAPTION), "#17191c")
        picture.paste(Image.open(io.BytesIO(self._page.screenshot())), (0, 0))
        ImageDraw.Draw(picture).text(
            (WIDTH / 2, HEIGHT + CAPTION / 2), self.caption, "#f4f2ec", self._font, anchor="mm"
        )
        if self.frames and self.frames[-1][0].tobytes() == picture.tobytes():
            self.frames[-1] = (picture, self.frames[-1][1] + milliseconds)
        else:
            self.frames.append((picture, milliseconds))

    def until(self, seen: Locator, most: int = 10) -> None:
        """Take pictures until something is visible; at most so many are kept."""
        deadline = time.monotonic() + WAIT / 1000
        while not seen.is_visible():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not visible: {seen}")
            if most > 0:
                self.show(150)
            most -= 1
            time.sleep(0.15)
        self.show(500)

    def write(self, frame: Frame, text: str) -> None:
        """Type into the message box of one of the two, letter by letter, and send."""
        box = frame.get_by_role("textbox", name=re.compile("^Message to"))
        for letter in range(0, len(text), 3):
            box.press_sequentially(text[letter : letter + 3])
            self.show(90)
        box.press("Enter")
        self.show(250)

    @property
    def duration(self) -> float:
        """The length in seconds."""
        return sum(milliseconds for _, milliseconds in self.frames) / 1000

    def save(self, path: Path) -> None:
        """Write it as an animated WebP that repeats."""
        first, *others = [picture for picture, _ in self.frames]
        durations = [milliseconds for _, milliseconds in self.frames]
        first.save(path, append_images=others, duration=durations, loop=0, save_all=True, quality=60, method=3)


@contextlib.contextmanager
def chat() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The chat with two workers, on a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "ODAC_SECRET": secrets.token_hex(), "CHAT_DEMO": "1"}
    command = [sys.executable, "-m", "odac", "run", "examples.chat.app:app", "--workers", "2", "--port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)  # noqa: S603 - our own
    try:
        deadline = time.monotonic() + WAIT / 1000
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if time.monotonic() > deadline or server.poll() is not None:
                raise RuntimeError("the chat did not start")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.terminate()
        server.wait(WAIT / 1000)


def kill_workers(server: subprocess.Popen[bytes]) -> int:
    """Kill the worker processes with SIGKILL; return how many there were."""
    workers = [
        int(pid)
        for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    return len(workers)


def record(chromium: str) -> Film:
    """Play the scene in the browser, and return its pictures.

    Args:
        chromium: the path of the browser.
    """
    with chat() as (url, server), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, reduced_motion="reduce")
        page.set_default_timeout(WAIT)
        page.goto(f"{url}/two")
        left, right = (page.frames[number] for number in (1, 2))
        for person in (left, right):
            expect(person.get_by_text("2 here")).to_be_visible(timeout=WAIT)
        film = Film(page)
        film.caption = "Two people in one room, on two server processes"
        film.show(800)
        film.write(left, "Shall we meet at four?")
        film.until(said(right, "Shall we meet at four?"))
        film.write(right, "Yes. Bring the cake!")
        film.until(said(left, "Yes. Bring the cake!"))
        left.evaluate(WATCH)
        film.caption = f"kill -9 for all {kill_workers(server)} server processes"
        left.wait_for_function("() => window.disconnected")
        film.show(500)
        film.write(left, "Which cake?")
        film.show(700)
        film.until(said(right, "Which cake?"))
        film.caption = "New processes. Nothing lost, nothing twice, and both are told."
        film.write(right, "The one with cherries.")
        film.until(said(left, "The one with cherries."))
        film.show(1600)
        browser.close()
    return film


def said(person: Frame, text: str) -> Locator:
    """A message in the log of one of the two."""
    return person.get_by_role("log").get_by_text(text, exact=True)


def main() -> None:
    """Record it, and write it where the README shows it."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        sys.exit("Chromium is needed: apt-get install chromium")
    film = record(chromium)
    film.save(OUTPUT)
    print(f"{OUTPUT.relative_to(ROOT)}: {film.duration:.1f} s, {OUTPUT.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
