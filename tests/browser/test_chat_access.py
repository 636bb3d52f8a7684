"""The chat for everybody: by axe in every state of its pages, on paper, in other scripts, with large text."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chat_crowd import Crowd
from tests.browser.chat_visitors import PHONE, Line, Visitor, visitors
from tests.browser.conftest import ServerProcess

MakeVisitor = Callable[..., Visitor]

AXE = (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    return start_server("tests.browser.chat_crowd:app")


@pytest.fixture
def visitor(chromium: Browser, server: ServerProcess) -> Iterator[MakeVisitor]:
    yield from visitors(chromium, server.url)


def violations(page: Page) -> list[str]:
    """What axe finds wrong with the page as it is."""
    found: list[dict[str, Any]] = page.evaluate(AXE + "\n;axe.run().then((results) => results.violations)")
    return [
        f"{each['id']}: {node['html'][:160]} {node['failureSummary'][:200]}" for each in found for node in each["nodes"]
    ]


AT_ONCE = """() => {
    const box = document.querySelector("#text")
    for (let number = 0; number < 8; number += 1) {
        box.value = `fast ${number}`
        box.dispatchEvent(new Event("input", {bubbles: true}))
        box.form.requestSubmit()
    }
}"""


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_nothing_in_any_state(visitor: MakeVisitor, server: ServerProcess, scheme: str) -> None:
    options = {"color_scheme": scheme, "reduced_motion": "reduce", "bypass_csp": True, "lost_server": True}
    ada, bob = visitor(**options), visitor()
    page = ada.page
    line = Line(page)
    room = f"axe-{scheme}"

    def check(state: str) -> None:
        assert violations(page) == [], state

    page.goto(f"{server.url}/room/{room}")
    check("sign-in")
    page.get_by_label("Your name").fill("...")
    page.get_by_role("button", name="Come in").click()
    expect(page.get_by_role("alert")).to_contain_text("could be read")
    check("sign-in, refused")
    page.goto(f"{server.url}/nonexistent")
    check("not found")

    ada.enter(f"Axel {scheme}", room)
    expect(page.get_by_text("It is quiet")).to_be_visible()
    check("an empty room")
    bob.enter(f"Berta {scheme}", room)
    bob.say(f"@Axel {scheme}, see https://example.org")
    ada.sees(f"@Axel {scheme}, see https://example.org")
    ada.say("Mine")
    expect(ada.log.locator(".tick")).to_have_text("✓✓ 1")
    bob.message("Mine").hover()
    bob.page.get_by_role("button", name="React with 👍").click()
    expect(ada.log.locator(".reactions button")).to_be_visible()
    bob.box.press_sequentially("x")
    expect(page.get_by_text("is typing…")).to_be_visible()
    check("a talk")

    ada.message("Mine").hover()
    ada.status.click()
    check("what can be done with a message, and the connection")
    ada.page.keyboard.press("Escape")
    page.get_by_role("button", name="Search in this room").click()
    page.get_by_role("searchbox", name="Search for").fill("mine")
    page.keyboard.press("Enter")
    expect(page.locator("#found button")).to_be_visible()
    check("a search")
    page.get_by_role("button", name="Close the search").click()

    page.evaluate("() => { document.querySelector('#text').value = 'x'.repeat(2600) }")
    ada.box.press("End")
    ada.box.press("y")
    expect(page.locator("#left")).to_contain_text("601 characters too many")
    check("too long")
    ada.box.fill("")
    ada.box.press("ArrowUp")
    expect(page.locator("#editing")).to_be_visible()
    check("a message is being changed")
    page.get_by_role("button", name="Leave it as it was").click()

    line.cut()
    ada.say("pending")
    expect(ada.banner).to_contain_text("The connection was lost")
    check("reconnecting, with a message on its way")
    line.mend()
    ada.sees("pending")
    page.evaluate(AT_ONCE)  # too many for the chat's pace, however slow the machine is
    expect(ada.log.locator(".message.refused").first).to_be_visible()
    check("refused")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    check("a phone")
    page.get_by_role("button", name="Show the list of rooms").click()
    expect(page.get_by_role("link", name=re.compile("lobby"))).to_be_visible()  # the drawer is open
    check("a phone's drawer")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Come in")).to_be_visible()


def test_axe_finds_nothing_with_many_people_and_when_signed_out(visitor: MakeVisitor, server: ServerProcess) -> None:
    ada = visitor(bypass_csp=True)
    ada.enter("Axe", "axe-many")
    with Crowd(server.url) as crowd:
        crowd.come([f"Axe {number}" for number in range(100, 140)], ["axe-many"] * 40)
        expect(ada.page.locator("#here-count")).to_have_text("41 here")
        assert violations(ada.page) == []
    other = visitor(beside=ada)
    other.page.goto(f"{server.url}/room/axe-many")
    other.page.get_by_role("button", name="Sign out").click()
    expect(ada.banner).to_contain_text("You are signed out.")
    assert violations(ada.page) == []
    ada.page.goto(f"{server.url}/two?room=axe-two")
    for number in (0, 1):
        expect(ada.page.frame_locator(f"iframe >> nth={number}").locator("#here-count")).to_have_text("2 here")
    assert violations(ada.page) == []


def test_a_long_text_is_not_cut(visitor: MakeVisitor) -> None:
    ada = visitor()
    ada.enter("Pasting", "paste")
    ada.page.evaluate("() => document.querySelector('#text').focus()")
    ada.page.keyboard.insert_text("y" * 2_600)
    expect(ada.box).to_have_value("y" * 2_600)
    expect(ada.page.locator("#left")).to_have_text("600 characters too many; at most 2000 fit")
    expect(ada.box).to_have_attribute("aria-invalid", "true")
    expect(ada.page.get_by_role("button", name="Send")).to_be_disabled()
    ada.box.press("Enter")
    expect(ada.box).to_have_value("y" * 2_600)
    ada.box.fill("y" * 2_000)
    ada.box.press("Enter")
    ada.sees("y" * 2_000)


def test_the_enter_that_ends_a_composition_sends_nothing(visitor: MakeVisitor) -> None:
    """Of an input method for Japanese or Chinese. Safari tells of it after the composition, with the key code 229."""
    ada = visitor()
    ada.enter("花子", "ime")
    ada.box.fill("おはよう")
    for init in ({"key": "Enter", "keyCode": 229}, {"key": "Enter", "isComposing": True}):
        ada.box.evaluate(
            "(box, init) => box.dispatchEvent(new KeyboardEvent('keydown', {bubbles: true, cancelable: true, ...init}))",
            init,
        )
    expect(ada.box).to_have_value("おはよう")
    expect(ada.log.locator(".message")).to_have_count(0)
    ada.box.press("Enter")
    ada.sees("おはよう")


def test_a_page_that_is_open_overnight(visitor: MakeVisitor) -> None:
    ada = visitor(timezone_id="UTC")
    ada.page.clock.install()
    ada.enter("Owl", "night")
    ada.say("in the evening")
    ada.sees("in the evening")
    days = ada.log.locator(".day")
    expect(days).to_have_text(["Today"])
    seconds = ada.page.evaluate("() => (new Date().setHours(24, 0, 0, 0) - Date.now()) / 1000")
    ada.page.clock.fast_forward(int(seconds * 1000) + 1_000)
    expect(days).to_have_text(["Yesterday"])


def test_names_with_joiners_and_right_to_left(visitor: MakeVisitor) -> None:
    name = "علی\u200cرضا"
    ada, bob = visitor(), visitor()
    ada.enter(name, "rtl")
    bob.sign_in("علیرضا", "rtl")
    expect(bob.page.get_by_role("alert")).to_contain_text("already called")  # it looks the same
    bob.page.get_by_label("Your name").fill("Bob of Rtl")
    bob.page.get_by_role("button", name="Come in").click()
    ada.say("سلام!")
    bob.sees("سلام!")
    message = bob.message("سلام!")
    expect(message.locator(".author")).to_have_text(name)
    assert message.locator(".bubble").evaluate("bubble => getComputedStyle(bubble).direction") == "rtl"
    # the whole page, for a reader of such a language
    ada.page.evaluate("() => { document.documentElement.dir = 'rtl' }")
    assert not ada.page.evaluate("() => document.documentElement.scrollWidth > innerWidth")
    side, people = (ada.page.locator(f"#{part}").bounding_box() for part in ("side", "people"))
    assert side
    assert people
    assert side["x"] > people["x"]
    ada.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    expect(ada.page.locator("#side")).not_to_be_in_viewport()
    ada.page.get_by_role("button", name="Show the list of rooms").click()
    expect(ada.page.get_by_role("link", name="kitchen")).to_be_in_viewport()


def test_twice_as_large_text_on_a_phone(visitor: MakeVisitor) -> None:
    ada = visitor(viewport=PHONE)
    ada.enter("Large", "large-text")
    ada.say("Something to read that is longer than a line")
    ada.sees("Something to read that is longer than a line")
    ada.page.evaluate("() => { document.documentElement.style.fontSize = '200%' }")
    assert not ada.page.evaluate("() => document.documentElement.scrollWidth > innerWidth")
    clipped = """() => [...document.querySelectorAll('.top *, .below *, .log .message *')]
        .filter((each) => each.checkVisibility() && !each.closest('svg, .hidden-visually, .avatar') && each.textContent.trim())
        .filter((each) => {
          const box = each.getBoundingClientRect()
          return box.left < -1 || box.right > innerWidth + 1
            || (getComputedStyle(each).overflow === 'hidden' && each.scrollHeight > each.clientHeight + 1)
        })
        .map((each) => each.className || each.id || each.tagName)"""
    assert ada.page.evaluate(clipped) == []
    expect(ada.box).to_be_in_viewport()
    ada.say("still")
    ada.sees("still")
    for name in ("Show the list of rooms", "Search in this room"):
        expect(ada.page.get_by_role("button", name=name)).to_be_in_viewport()


def test_a_printed_page_has_the_whole_conversation_and_nothing_else(visitor: MakeVisitor) -> None:
    ada = visitor()
    ada.enter("Printer", "paper")
    for number in range(4):
        ada.say(f"page {number}" + "\n" * 20 + "end")
        expect(ada.log.locator(".message:not(.pending):not(.refused)")).to_have_count(number + 1)
    ada.page.emulate_media(media="print")
    for part in ("#side", "#people", ".composer", "#status"):
        expect(ada.page.locator(part)).not_to_be_visible()
    assert ada.page.evaluate(
        "() => document.querySelector('#log').scrollHeight <= document.querySelector('#log').clientHeight"
    )
    assert ada.page.pdf().count(b"/Type /Page\n") > 1


def test_forced_colours_leave_the_edges(visitor: MakeVisitor) -> None:
    ada = visitor(forced_colors="active")
    ada.enter("Contrast", "forced")
    ada.say("mine")
    ada.sees("mine")
    for part in (".bubble", ".composer", ".send", ".new-room .button"):
        width = ada.page.locator(part).first.evaluate("part => getComputedStyle(part).borderTopWidth")
        assert width == "1px", part


def test_an_address_with_nothing_at_it(visitor: MakeVisitor) -> None:
    page = visitor().page
    answer = page.goto(f"{visitor().url}/nonexistent")
    assert answer
    assert answer.status == 404
    expect(page.get_by_role("alert")).to_have_text("There is nothing at this address.")
    page.get_by_role("link", name="Go to the lobby").click()
    expect(page.get_by_role("button", name="Come in")).to_be_visible()


def test_the_first_visit_is_not_empty(visitor: MakeVisitor) -> None:
    ada = visitor()
    ada.enter("Newcomer", "lobby")
    expect(ada.message("nothing gets lost")).to_be_visible()
    expect(ada.log.locator(".message")).to_have_count(5)
    expect(ada.page).to_have_title(re.compile("^#lobby"))


def test_what_makes_a_page_quick_and_found(visitor: MakeVisitor) -> None:
    """The rules that Lighthouse counts: a description, no requests of others, little to load, no layout shifts."""
    ada = visitor()
    ada.enter("Lighthouse", "rules")
    ada.page.add_init_script(
        """window.shift = 0
        new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.shift += entry.value })
          .observe({type: 'layout-shift', buffered: true})"""
    )
    ada.page.reload()
    expect(ada.page.locator("#here-count")).to_have_text("Only you")
    assert ada.page.evaluate("() => document.querySelector('meta[name=description]').content")
    assert ada.page.evaluate("() => document.documentElement.lang") == "en"
    loaded = ada.page.evaluate(
        "() => performance.getEntriesByType('resource').map(({name, decodedBodySize}) => [name, decodedBodySize])"
    )
    assert all(name.startswith(ada.url) for name, _ in loaded)
    assert sum(size for _, size in loaded) < 200_000
    assert ada.page.evaluate("() => window.shift") < 0.1
    blocking = ada.page.evaluate(
        """() => [...document.querySelectorAll('script')]
            .filter((each) => !each.defer && !each.async && each.type !== 'module').map((each) => each.src)"""
    )
    assert blocking == []
