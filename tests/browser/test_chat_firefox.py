"""The chat in Firefox: what depends on the browser, which is the scrolling and the connections."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser.chat_crowd import fill
from tests.browser.client.firefox import Firefox, FirefoxTab, find_firefox
from tests.browser.conftest import ServerProcess


@pytest.fixture
def firefox() -> Iterator[Firefox]:
    browser = Firefox(find_firefox())
    yield browser
    browser.close()


class Reader:
    """Somebody who uses the chat in Firefox."""

    def __init__(self, firefox: Firefox, url: str, name: str) -> None:
        self.tab: FirefoxTab = firefox.profile().tab()
        self._url = url
        self.tab.goto(url)
        form = json.dumps(name)
        self.tab.run(
            f"fetch('/sign-in', {{method: 'POST', body: new URLSearchParams({{name: {form}}})}}).then(() => 1)"
        )

    def enter(self, room: str) -> None:
        self.tab.goto(f"{self._url}/room/{room}")
        self.until("document.querySelector('#here-count').textContent !== 'Connecting…'")

    def say(self, text: str) -> None:
        self.tab.run(
            "() => { const box = document.querySelector('#text'); box.value = " + json.dumps(text) + "; "
            "box.dispatchEvent(new Event('input')); document.querySelector('#composer').requestSubmit(); return 1 }"
        )

    def until(self, expression: str, deadline: float = 60) -> Any:
        """Wait until an expression is true in the page."""
        end = time.monotonic() + deadline
        while not (found := self.tab.run(expression)):
            assert time.monotonic() < end, f"{expression}: {self.tab.run('document.body.innerText')}"
            time.sleep(0.05)
        return found

    def sees(self, text: str) -> None:
        said = "[...document.querySelectorAll('.message:not(.pending) .bubble')].map((each) => each.textContent)"
        self.until(f"{said}.includes({json.dumps(text)})")


def test_the_chat_in_firefox(firefox: Firefox, start_server: Callable[..., ServerProcess]) -> None:
    server = start_server("tests.browser.chat_crowd:app")
    ada, bob = Reader(firefox, server.url, "Ada"), Reader(firefox, server.url, "Bob")
    fill(server.url, "fox", 800)
    ada.enter("fox")
    bob.enter("fox")
    ada.say("Hello, @Bob")
    bob.sees("Hello, @Bob")
    ada.until("document.querySelector('.tick')?.dataset.tick === 'read'")
    bob.until("document.querySelectorAll('.calls-me').length === 1")

    # a reader further up is not moved: not by what is said, and not by what comes above
    bob.tab.run(
        """() => {
          const log = document.querySelector('#log')
          log.scrollTop = log.scrollHeight / 2
          const box = log.getBoundingClientRect()
          window.mark = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2).closest('.said > *')
          window.place = window.mark.getBoundingClientRect().top
          return 1
        }"""
    )
    bob.until("!document.querySelector('#latest').hidden")
    fill(server.url, "fox", 200, first=800)
    bob.until("document.querySelector('#latest').textContent === '200 new messages ↓'")
    assert bob.tab.run("window.mark.getBoundingClientRect().top - window.place") == 0
    for _ in range(40):
        bob.tab.run("() => { document.querySelector('#log').scrollTop = 0; return 1 }")
        if bob.tab.run("document.querySelector('.message .bubble').textContent === 'line 0 of many'"):
            break
        bob.until("document.querySelector('#log').scrollTop > 0")
    bob.sees("line 0 of many")
    assert bob.tab.run("document.querySelectorAll('.message').length") <= 720
    bob.tab.run("() => { document.querySelector('#latest').click(); return 1 }")
    bob.sees("line 999 of many")
    # the other room's mark, over the connection that the tabs share
    bob.enter("den")
    ada.say("@Bob, still there?")
    bob.until("document.querySelector('#rooms .unread.mention')?.textContent === '@ 1'")
