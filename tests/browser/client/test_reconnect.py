"""A connection outlives the server's crashes and restarts, stale tokens and silent networks; and says no when it must."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.browser.client.conftest import APP, Site
from tests.browser.client.engines import Profile, Tab
from tests.browser.client.relay import Relay
from tests.browser.conftest import ServerProcess


def test_after_a_crash_and_a_restart_it_is_back_and_the_queue_goes_out_in_order(site: Site, tab: Tab) -> None:
    tab.run(
        "async () => { join('/record', { reconnectDelay: 50, maxReconnectAttempts: 1000 }); ws.send('before');"
        " await until(() => messages.length) }"
    )
    assert site.received == ["before"]
    site.process.kill()
    assert tab.run("""async () => {
        await until(() => names().includes('reconnecting'))
        const accepted = []
        for (let number = 0; number < 200; number++) accepted.push(ws.send(number))
        ws.send(new Uint8Array([200]))
        return [accepted.every((value) => value === true), ws.connected, log.find(([name]) => name === 'close')[1]]
    }""") == [True, False, 1006]
    site.process.start()
    tab.run(
        "async () => { await until(() => ws.connected); ws.send('after'); await until(() => messages.length >= 203) }"
    )
    # The server that has crashed has forgotten; the one that has replaced it got everything once, in order.
    assert site.received == [*range(200), [200], "after"]


def test_a_server_that_is_not_there_is_named_with_the_address(site: Site, tab: Tab) -> None:
    site.process.kill()
    name, message = tab.run("""async () => {
        join('/echo', { reconnectDelay: 50, maxReconnectAttempts: 1000 })
        await until(() => names().includes('error'))
        const [name, error] = log.find(([name]) => name === 'error')
        return [name, error.message ?? error]
    }""")
    assert name == "error"
    assert f"Odac: {site.process.url}/odac/token cannot be reached: is the server running" in message
    site.process.start()
    tab.run("async () => { await until(() => ws.connected) }")


def test_a_server_that_drains_sets_the_delay_of_the_retry(site: Site, tab: Tab) -> None:
    tab.run("async () => { join('/echo', { reconnectDelay: 60000 }); await until(() => ws.connected) }")
    site.process.stop()
    # A server that is alone tells a second, about what its restart takes, which the client uses instead of its own minute.
    code, delay = tab.run("""async () => {
        await until(() => names().includes('reconnecting'))
        return [log.find(([name]) => name === 'close')[1], log.find(([name]) => name === 'reconnecting')[2]]
    }""")
    assert code == 1001
    assert 1000 <= delay <= 1500
    site.process.start()


def test_each_attempt_takes_a_fresh_token(site: Site, tab: Tab) -> None:
    tab.run("""async () => {
        const Native = window.WebSocket
        const offered = []
        window.WebSocket = class extends Native {
            constructor(url, protocols) { super(url, protocols); offered.push(protocols) }
        }
        join('/echo', { reconnectDelay: 50, maxReconnectAttempts: 1000 })
        await until(() => ws.connected)
        window.offered = offered
    }""")
    site.process.kill()
    site.process.start()
    tokens = tab.run(
        "async () => { await until(() => names().filter((name) => name === 'open').length === 2); return offered }"
    )
    assert len(tokens) >= 2
    assert all(first == "odac.v1" and second.startswith("odac-token-") for first, second in tokens)
    assert len({second for _, second in tokens}) == len(tokens)


def test_where_the_endpoint_fails_the_token_that_the_server_sent_serves(site: Site, tab: Tab) -> None:
    tab.run("""async () => {
        join('/echo', { reconnectDelay: 50, maxReconnectAttempts: 1000 })
        await until(() => ws.connected)
        const { fetch } = window
        window.fetch = (url, options) =>
            url.endsWith('/odac/token') ? Promise.reject(new TypeError('down')) : fetch(url, options)
    }""")
    site.process.stop()
    site.process.start()
    tab.run("async () => { await until(() => ws.connected); ws.send('x'); await until(() => messages.length) }")


def test_the_token_that_came_with_the_page_saves_a_request(site: Site, profile: Profile) -> None:
    page = profile.tab()
    page.goto(site.url + "/")
    page.run("async () => { await fetch('/odac/token') }")
    page.goto(site.url + "/with-token?age=0")
    assert page.run("""async () => {
        join('/echo')
        await until(() => ws.connected)
        return [names(), performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/odac/token')),
            document.querySelector('meta[name="odac-token"]')]
    }""") == [["open"], False, None]


def test_a_token_that_expired_with_its_page_is_replaced_once_and_nothing_is_lost(site: Site, profile: Profile) -> None:
    page = profile.tab()
    page.goto(site.url + "/")
    page.run("async () => { await fetch('/odac/token') }")
    page.goto(site.url + "/with-token?age=3600")
    page.run(
        "async () => { join('/record', { reconnectDelay: 60000 }); ws.send('kept'); await until(() => messages.length) }"
    )
    log = page.run("log")
    assert [entry[0] for entry in log] == ["close", "reconnecting", "open"]
    assert log[0][1] == 4002
    assert log[1] == ["reconnecting", 1, 0]
    assert site.received == ["kept"]


def test_a_token_that_stays_refused_ends_it(site: Site, tab: Tab) -> None:
    assert tab.run("""async () => {
        const { fetch } = window
        window.fetch = async (url, options) => url.endsWith('/odac/token')
            ? new Response('{"token": "forged"}') : fetch(url, options)
        join('/echo', { reconnectDelay: 20 })
        await until(() => names().filter((name) => name === 'close').length === 2)
        return [log, ws.state, ws.send('x')]
    }""") == [
        [
            ["close", 4002, "Invalid or missing token"],
            ["reconnecting", 1, 0],
            ["error", "Odac: two tokens refused: do browser and proxies keep the session cookie?"],
            ["close", 4002, "Invalid or missing token"],
            ["error", "Odac: message refused: the connection is closed"],
        ],
        3,
        False,
    ]


def test_without_a_token_only_routes_without_one_accept_it(tab: Tab) -> None:
    assert tab.run("""async () => {
        const open = join('/public', { token: false })
        await until(() => open.ws.connected)
        const refused = join('/echo', { token: false })
        await until(() => refused.log.length)
        return [open.log, refused.log, performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/token'))]
    }""") == [[["open"]], [["close", 4002, "Invalid or missing token"]], False]


# What the table of close codes says; 1006 is a crash, above, and 4002 a token, above.
RETRIED = [1001, 1002, 1011, 1012, 1013]
FINAL = [1000, 1003, 1007, 1008, 1009, 3000, 4000, 4001, 4003, 4999]


def test_every_close_code_has_the_effect_of_the_table(site: Site, tab: Tab) -> None:
    """All at once: each on its own path, whose handler closes with that code."""
    outcome = tab.run(f"""async () => {{
        const codes = {RETRIED + FINAL}
        const sockets = codes.map((code) => join('/close/' + code, {{ reconnectDelay: 50, maxReconnectAttempts: 3 }}))
        await until(() => sockets.every(({{ ws, log }}) => log.some(([name]) => name === 'close')))
        const retried = {RETRIED}
        await until(() => sockets.every(({{ log }}, index) =>
            !retried.includes(codes[index]) || log.some(([name, text]) => name === 'error' && text.includes('gave up'))))
        return codes.map((code, index) => [code, sockets[index].ws.state, sockets[index].log.find(([name]) => name === 'close')])
    }}""")
    assert outcome == [[code, 3, ["close", code, f"code {code}"]] for code in RETRIED + FINAL]
    assert {int(code): count for code, count in site.attempts.items()} == {
        **dict.fromkeys(RETRIED, 4),
        **dict.fromkeys(FINAL, 1),
    }


@pytest.mark.parametrize(("path", "code"), [("/rejects", 4000), ("/secure", 4001), ("/forbids", 4003)])
def test_a_refused_client_was_never_open_and_does_not_retry(site: Site, tab: Tab, path: str, code: int) -> None:
    log = tab.run(f"""async () => {{
        join('{path}', {{ reconnectDelay: 20 }})
        ws.send('x')
        await until(() => log.length)
        return log
    }}""")
    # A retry would be told in the same instant.
    assert [entry[:2] for entry in log] == [["close", code]]
    assert site.attempts.get(path.strip("/"), 1) == 1


def test_a_message_too_big_is_final(tab: Tab) -> None:
    assert tab.run("""async () => {
        join('/echo', { reconnectDelay: 20 })
        await until(() => ws.connected)
        ws.send('x'.repeat((1 << 20) + 1))
        await until(() => names().includes('close'))
        return [log.find(([name]) => name === 'close')[1], names().includes('reconnecting'), ws.state]
    }""") == [1009, False, 3]


def test_close_reaches_the_server_and_is_final(site: Site, tab: Tab) -> None:
    assert tab.run("""async () => {
        join('/echo', { reconnectDelay: 20 })
        await until(() => ws.connected)
        ws.close()
        const closing = ws.state
        await until(() => ws.state === 3)
        return [closing, log]
    }""") == [2, [["open"], ["close", 1000, ""]]]
    site.wait_for_clients(0)


def test_close_during_an_attempt_and_during_a_wait_leaves_nothing_behind(site: Site, tab: Tab) -> None:
    assert (
        tab.run("""async () => {
        const early = join('/echo')
        early.ws.close()
        const attempted = join('/echo')
        await new Promise((resolve) => setTimeout(resolve, 1))
        attempted.ws.close()
        const waiting = join('/close/1011', { reconnectDelay: 50 })
        await until(() => waiting.log.some(([name]) => name === 'reconnecting'))
        waiting.ws.close()
        await new Promise((resolve) => setTimeout(resolve, 150))
        return [early, attempted, waiting].map(({ ws, log }) => [ws.state, log.at(-1)])
    }""")
        == [[3, ["close", 1000, ""]]] * 3
    )
    site.wait_for_clients(0)
    assert site.attempts == {"1011": 1}


def test_past_its_bounds_the_queue_refuses(tab: Tab) -> None:
    assert tab.run("""async () => {
        join('/echo')
        const results = Array.from({ length: 257 }, (_, number) => ws.send(number))
        const full = [results.lastIndexOf(true), results[256], [...log]]
        await until(() => messages.length === 256)
        return [...full, messages.every((number, index) => number === index)]
    }""") == [255, False, [["error", "Odac: message refused: the send queue is full"]], True]


@pytest.fixture
def relay(start_server: Callable[..., ServerProcess]) -> Iterator[Relay]:
    """A network, in front of a server that promises a heartbeat every second, that a test can let fall silent."""
    process = start_server(APP, {"PING_INTERVAL": "1"})
    with Relay(process.port) as made:
        yield made


def test_a_network_that_falls_silent_is_noticed_and_a_quiet_one_is_not(profile: Profile, relay: Relay) -> None:
    page = profile.tab()
    page.goto(relay.url + "/")
    # Quiet for longer than the promised second: the server's pings keep it alive, though no message comes.
    assert page.run("""async () => {
        const { WebSocket } = window
        let pings = 0
        window.WebSocket = class extends WebSocket {
            constructor(...args) {
                super(...args)
                this.addEventListener('message', ({ data }) => (pings += /^\\x1e\\["p[io]ng"\\]$/.test(data)))
            }
        }
        join('/echo', { reconnectDelay: 20, maxReconnectAttempts: 1000 })
        await until(() => pings === 3)
        return [names(), messages]
    }""") == [["open"], []]
    relay.silence()
    assert page.run("""async () => {
        window.hurry = true
        await until(() => names().includes('close'), 30000)
        return log.find(([name]) => name === 'close')
    }""") == ["close", 1006, "the server did not answer a ping"]
    relay.speak()
    page.run("async () => { await until(() => ws.connected, 30000); ws.send('x'); await until(() => messages.length) }")
