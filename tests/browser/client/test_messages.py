"""What is sent arrives: as it was, in order, once."""

from __future__ import annotations

import json

from tests.browser.client.conftest import Site
from tests.browser.client.engines import Profile, Tab


def test_the_three_builds_connect(site: Site, profile: Profile) -> None:
    for path, prepare in [("/", ""), ("/module", "await until(() => window.Odac)"), ("/mounted", "")]:
        page = profile.tab()
        page.goto(site.url + path)
        route = "/below/echo" if path == "/mounted" else "/echo"
        assert page.run(
            f"async () => {{ {prepare}; join('{route}'); ws.send({{hello: [1]}}); await until(() => messages.length);"
            " return [messages, names(), ws.connected, ws.state] }"
        ) == [[{"hello": [1]}], ["open"], True, 1]


def test_the_token_is_requested_from_the_mounted_app(site: Site, profile: Profile) -> None:
    page = profile.tab()
    page.goto(site.url + "/mounted")
    requested = page.run(
        "async () => { join('/below/echo'); await until(() => ws.connected);"
        " return performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname) }"
    )
    assert "/below/rt/token" in requested
    assert "/odac/token" not in requested


def test_the_module_exports_the_function_alone_too(site: Site, profile: Profile) -> None:
    page = profile.tab()
    page.goto(site.url + "/module")
    assert (
        page.run(
            "async () => { await until(() => window.directly); const ws = directly('/echo');"
            " await until(() => ws.connected); return ws.state }"
        )
        == 1
    )


def test_a_message_comes_back_as_it_was(tab: Tab) -> None:
    all_kinds = [{"a": [1, None, "ä€𐍈"]}, [], 0, -1.5, True, None, "text", "", "{not json", "\x1e", '\x1e["ping"]']
    echoed = tab.run(f"""async () => {{
        join('/echo')
        for (const data of {json.dumps(all_kinds)}) ws.send(data)
        await until(() => messages.length === {len(all_kinds)})
        return messages
    }}""")
    assert echoed == all_kinds
    assert [type(data) for data in echoed] == [type(data) for data in all_kinds]


def test_binary_goes_both_ways(tab: Tab) -> None:
    echoed = tab.run("""async () => {
        join('/echo')
        const whole = new Uint8Array([9, 0, 255, 128, 9])
        ws.send(whole.buffer)
        ws.send(new Uint8Array(whole.buffer, 1, 3))
        ws.send(new DataView(whole.buffer, 4))
        ws.send(new Uint16Array([258]))
        ws.send(new Float32Array([1]))
        ws.send(new Blob([whole]))
        ws.send(new ArrayBuffer(0))
        whole.fill(1)
        await until(() => messages.length === 7)
        // And once more while the connection is open.
        const view = new Uint8Array([5, 6])
        ws.send(view)
        ws.send(new Blob(['x']))
        view.fill(0)
        await until(() => messages.length === 9)
        return messages.map(({ bytes }) => bytes)
    }""")
    assert echoed == [
        [9, 0, 255, 128, 9],
        [0, 255, 128],
        [9],
        [2, 1],
        [0, 0, 128, 63],
        [9, 0, 255, 128, 9],
        [],
        [5, 6],
        [120],
    ]


def test_a_megabyte_goes_both_ways(tab: Tab) -> None:
    assert tab.run("""async () => {
        join('/echo')
        await until(() => ws.connected)
        const bytes = new Uint8Array(1 << 20).map((_, index) => index % 251)
        let back
        ws.on('message', (data) => (back = new Uint8Array(data)))
        ws.send(bytes)
        await until(() => back)
        return back.length === bytes.length && back.every((byte, index) => byte === bytes[index])
    }""")


def test_ten_thousand_messages_arrive_in_order(tab: Tab) -> None:
    assert tab.run("""async () => {
        join('/numbers')
        ws.send(10000)
        await until(() => messages.length === 10000, 60000)
        return messages.every((number, index) => number === index)
    }""")


def test_ten_thousand_messages_are_sent_in_order(site: Site, tab: Tab) -> None:
    tab.run("""async () => {
        join('/record')
        await until(() => ws.connected)
        for (let number = 0; number < 10000; number++) ws.send(number)
        await until(() => messages.length === 10000, 60000)
    }""")
    assert site.received == list(range(10_000))


def test_an_event_name_is_data(tab: Tab) -> None:
    assert tab.run("""async () => {
        join('/echo')
        for (const name of ['__proto__', 'constructor', 'toString']) ws.on(name, () => log.push(['never'])).off(name)
        ws.send('{"__proto__": {"polluted": true}}')
        await until(() => messages.length)
        return [names(), {}.polluted === undefined, Object.keys(messages[0])]
    }""") == [["open"], True, ["__proto__"]]


def test_a_listener_that_throws_stops_no_other_and_is_reported(tab: Tab) -> None:
    assert tab.run("""async () => {
        const reports = []
        window.addEventListener('error', (event) => { reports.push(event.message); event.preventDefault() })
        const ws = Odac.ws('/echo')
        const heard = []
        ws.on('message', () => { throw new Error('mistake') }).on('message', (data) => heard.push(data))
        ws.send('a')
        ws.send('b')
        await until(() => heard.length === 2 && reports.length === 2)
        return [heard, reports.every((message) => message.includes('mistake')), ws.connected]
    }""") == [["a", "b"], True, True]
