"""What is sent and closed at the edges, token endpoints that misbehave, and networks that go."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.browser.client.conftest import WAYS, Site
from tests.browser.client.engines import Engine, Profile, Tab
from tests.browser.client.relay import Relay
from tests.browser.client.test_reconnect import relay as relay
from tests.browser.conftest import ServerProcess

SHARED = pytest.mark.parametrize("shared", ["false", "true"], ids=["own", "shared"])

# In front of a page's scripts: the token endpoint as `answer` has it, and how often it was asked.
ENDPOINT = """
window.asked = 0
const { fetch } = window
window.fetch = (url, options) => {
  if (!String(url).endsWith('/odac/token')) return fetch(url, options)
  window.asked++
  return window.answer(() => fetch(url, options), options)
}
"""


@SHARED
def test_what_another_frame_made_is_sent_as_what_it_is(tab: Tab, shared: str) -> None:
    assert tab.run(f"""async () => {{
        const {{ contentWindow }} = document.body.appendChild(document.createElement('iframe'))
        join('/echo', {{ shared: {shared} }})
        for (let round = 1; round <= 2; round++) {{
            const bytes = new contentWindow.Uint8Array([1, 2])
            ws.send(new contentWindow.Blob(['x']))
            ws.send(new contentWindow.File(['y'], 'y.txt'))
            ws.send(bytes)
            ws.send(bytes.buffer)
            ws.send(new contentWindow.DataView(bytes.buffer, 1))
            // Once before the connection is open, once after.
            await until(() => messages.length === 5 * round)
        }}
        return messages.slice(5).map(({{ bytes }}) => bytes)
    }}""") == [[120], [121], [1, 2], [1, 2], [2]]


@SHARED
def test_half_of_a_surrogate_pair_is_replaced_and_ends_nothing(tab: Tab, shared: str) -> None:
    text, plain, names = tab.run(f"""async () => {{
        join('/echo', {{ shared: {shared} }})
        const half = '12345😀'.slice(0, 6)
        ws.send({{ text: half, [half]: half }})
        ws.send(half)
        await until(() => messages.length === 2)
        return [messages[0], messages[1], names()]
    }}""")
    assert (text, plain, names) == ({"text": "12345\ufffd", "12345\ufffd": "12345\ufffd"}, "12345\ufffd", ["open"])


@SHARED
def test_close_refuses_what_the_native_object_refuses(tab: Tab, shared: str) -> None:
    assert tab.run(f"""async () => {{
        const attempts = [[999], [1001], [5000], [NaN], [1000, 'x'.repeat(124)], [3000, 'é'.repeat(62)]]
        const names = (close) => attempts.map((args) => {{
            try {{ close(...args); return 'accepted' }} catch ({{ name }}) {{ return name }}
        }})
        const native = new WebSocket(location.origin.replace('http', 'ws') + '/public')
        const wanted = names((...args) => native.close(...args))
        join('/echo', {{ shared: {shared} }})
        const connecting = names((...args) => ws.close(...args))
        await until(() => ws.connected)
        const open = names((...args) => ws.close(...args))
        const {{ connected }} = ws
        ws.close(4999, 'x'.repeat(123))
        await until(() => ws.state === 3)
        return [wanted, connecting, open, names((...args) => ws.close(...args)), connected]
    }}""") == [[*["InvalidAccessError"] * 4, *["SyntaxError"] * 2]] * 4 + [True]


@SHARED
def test_an_error_listener_that_closes_gets_one_close(engine: Engine, site: Site, shared: str) -> None:
    # Shared by a leader, whose token requests are the page's own.
    profile = engine.profile(WAYS["leader"] + ";" + ENDPOINT)
    page = profile.tab()
    page.goto(site.url + "/")
    assert page.run(f"""async () => {{
        window.answer = async () => new Response('', {{ status: 500 }})
        join('/echo', {{ shared: {shared}, reconnectDelay: 20 }})
        ws.on('error', () => ws.close(4000))
        await until(() => ws.state === 3)
        await new Promise((resolve) => setTimeout(resolve, 300))
        return [log.map(([name, value]) => name === 'error' ? name : [name, value]), asked]
    }}""") == [["error", ["close", 4000]], 1]
    profile.close()


@SHARED
def test_twelve_sockets_connect_though_the_token_endpoint_takes_four_seconds(
    engine: Engine, site: Site, shared: str
) -> None:
    profile = engine.profile(WAYS["leader"] + ";" + ENDPOINT)
    page = profile.tab()
    page.goto(site.url + "/")
    assert page.run(f"""async () => {{
        window.answer = async (ask) => {{ await new Promise((resolve) => setTimeout(resolve, 4000)); return ask() }}
        const all = Array.from({{ length: 12 }}, (_, number) => join('/echo?' + number, {{ shared: {shared} }}))
        await until(() => all.every(({{ ws }}) => ws.connected), 40000)
        return [asked <= 3, all.every(({{ log }}) => log.length === 1)]
    }}""") == [True, True]
    profile.close()


def test_without_a_timeout_of_the_browser_an_unanswered_token_request_is_given_up(engine: Engine, site: Site) -> None:
    profile = engine.profile("delete AbortSignal.timeout;" + ENDPOINT)
    page = profile.tab()
    page.goto(site.url + "/")
    log = page.run("""async () => {
        window.hurry = true
        const never = (options) =>
            new Promise((_, reject) => options.signal?.addEventListener('abort', () => reject(options.signal.reason)))
        window.answer = (ask, options) => (asked === 1 ? never(options) : ask())
        join('/echo', { reconnectDelay: 20 })
        await until(() => ws.connected)
        return log.map(([name]) => name)
    }""")
    assert log == ["error", "close", "reconnecting", "open"]
    profile.close()


@pytest.fixture(scope="module")
def cookieless_process(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    return start_server("tests.browser.client.app:without_cookies")


@pytest.fixture
def cookieless(cookieless_process: ServerProcess) -> Site:
    """The server behind a proxy that removes ``Set-Cookie``, with nothing in its books."""
    found = Site(cookieless_process)
    httpx.post(found.url + "/forget").raise_for_status()
    return found


@pytest.mark.parametrize("way", WAYS)
def test_where_the_session_cookie_does_not_stay_the_questions_are_bounded(
    cookieless: Site, engine: Engine, way: str
) -> None:
    """As behind a proxy that removes ``Set-Cookie``."""
    profile = engine.profile(WAYS[way])
    pages = [profile.tab(), profile.tab()]
    for page in pages:
        page.goto(cookieless.url + "/")
        page.run("join('/echo', { shared: true, reconnectDelay: 50 })")
    for page in pages:
        errors = page.run("""async () => {
            await until(() => names().includes('error') && log.at(-1)[0] === 'close' && log.at(-1)[1] === 4002)
            return log.filter(([name]) => name === 'error').map(([, message]) => message)
        }""")
        assert errors == ["Odac: two tokens refused: do browser and proxies keep the session cookie?"]
    asked = cookieless.attempts["token"]
    assert asked <= 30
    pages[0].run("new Promise((resolve) => setTimeout(resolve, 500))")
    assert cookieless.attempts["token"] == asked
    profile.close()


@SHARED
def test_a_silent_server_is_noticed_though_the_page_is_looked_at_again_and_again(
    profile: Profile, relay: Relay, shared: str
) -> None:
    page = profile.tab()
    page.goto(relay.url + "/")
    page.run(
        f"async () => {{ join('/echo', {{ shared: {shared}, reconnectDelay: 20 }}); await until(() => ws.connected) }}"
    )
    relay.silence()
    # More often than an answer is waited for.
    assert page.run("""async () => {
        const look = setInterval(() => document.dispatchEvent(new Event('visibilitychange')), 4000)
        await until(() => names().includes('close'), 60000)
        clearInterval(look)
        return log.find(([name]) => name === 'close')
    }""") == ["close", 1006, "the server did not answer a ping"]
    page.run("ws.close()")
    relay.speak()


@SHARED
def test_offline_is_emitted_at_once_and_close_in_ten_seconds(profile: Profile, relay: Relay, shared: str) -> None:
    page = profile.tab()
    page.goto(relay.url + "/")
    page.run(
        f"async () => {{ join('/echo', {{ shared: {shared}, reconnectDelay: 20 }}); await until(() => ws.connected) }}"
    )
    relay.silence()
    elapsed = page.run("""async () => {
        const start = performance.now()
        dispatchEvent(new Event('offline'))
        if (names().at(-1) !== 'offline') throw new Error(names())
        await until(() => names().includes('close'), 60000)
        return performance.now() - start
    }""")
    assert 9_000 < elapsed < 30_000
    page.run("ws.close()")
    relay.speak()
