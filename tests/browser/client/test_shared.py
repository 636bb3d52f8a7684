"""One connection for all tabs of a site, a path, options and a session: held by a worker, by a tab, or by each its own."""

from __future__ import annotations

import pytest

from tests.browser.client.conftest import WAYS, Site
from tests.browser.client.engines import Engine, Profile, Tab

RETRY = "reconnectDelay: 50, maxReconnectAttempts: 1000"
JOIN = f"join('/echo', {{ shared: true, {RETRY} }})"
OPEN = f"async () => {{ {JOIN}; await until(() => ws.connected) }}"


def open_tabs(profile: Profile, site: Site, count: int, script: str = OPEN) -> list[Tab]:
    """Tabs of one person, each with its share of the connection."""
    tabs = []
    for _ in range(count):
        page = profile.tab()
        page.goto(site.url + "/")
        page.run(script)
        tabs.append(page)
    return tabs


def wait_until_connected(tabs: list[Tab]) -> None:
    for page in tabs:
        page.run("async () => { await until(() => ws.connected, 60000) }")


def wait_until_taken_over(tabs: list[Tab], way: str) -> None:
    """Wait until these tabs know that the one that led is gone, and are connected through the next one.

    Until then they take themselves for connected, and what they send goes to the old one. A worker outlives the tabs.
    """
    for page in tabs if way == "leader" else ():
        page.run("async () => { await until(() => names().filter((name) => name === 'open').length > 1, 60000) }")
    wait_until_connected(tabs)


def hear(site: Site, tabs: list[Tab], data: str) -> None:
    """Broadcast, and see that each tab hears it once."""
    site.broadcast(data)
    for page in tabs:
        page.run(f"async () => {{ await until(() => messages.includes('{data}')) }}")
    # In each tab everything before a further message has been heard, too: a second copy would be there.
    site.broadcast(data + " over")
    for page in tabs:
        count = page.run(
            f"async () => {{ await until(() => messages.includes('{data} over'));"
            f" return messages.filter((message) => message === '{data}').length }}"
        )
        assert count == 1


@pytest.mark.parametrize("way", WAYS)
def test_three_tabs_have_one_connection(site: Site, shared_profile: Profile, way: str) -> None:
    tabs = open_tabs(shared_profile, site, 3)
    assert site.clients == (3 if way == "alone" else 1)
    # Late tabs were told, too.
    assert [page.run("[names(), ws.connected, ws.state]") for page in tabs] == [[["open"], True, 1]] * 3
    hear(site, tabs, "to all")
    # What any of them sends arrives, and the echo comes back to all that share.
    for number, page in enumerate(tabs):
        page.run(f"ws.send('from {number}')")
    for number, page in enumerate(tabs):
        wanted = [number] if way == "alone" else range(3)
        for other in wanted:
            page.run(f"async () => {{ await until(() => messages.includes('from {other}')) }}")
    tabs[1].run("ws.close()")
    assert tabs[1].run("[ws.connected, ws.state]")[0] is False
    tabs[0].close()
    wait_until_taken_over(tabs[2:], way)
    site.wait_for_clients(1)
    hear(site, tabs[2:], "to the last")
    tabs[2].close()
    site.wait_for_clients(0)


def test_binary_and_order_survive_the_way_through_the_other_tab(site: Site, shared_profile: Profile) -> None:
    _, second = open_tabs(shared_profile, site, 2, OPEN.replace("/echo", "/record"))
    second.run("""async () => {
        for (let number = 0; number < 2000; number++) ws.send(number)
        ws.send(new Uint8Array([1, 2]))
        ws.send(new Blob([new Uint8Array([3])]))
        await until(() => messages.some(({ received }) => received === 2002))
    }""")
    assert site.received == [*range(2000), [1, 2], [3]]


def test_ten_thousand_messages_reach_every_tab_in_order(site: Site, shared_profile: Profile) -> None:
    tabs = open_tabs(shared_profile, site, 2, OPEN.replace("/echo", "/numbers"))
    tabs[0].run("ws.send(10000)")
    for page in tabs:
        assert page.run("""async () => {
            await until(() => messages.length === 10000, 60000)
            return messages.every((number, index) => number === index)
        }""")


def test_an_outage_is_seen_and_survived_by_every_tab(site: Site, shared_profile: Profile) -> None:
    tabs = open_tabs(shared_profile, site, 3, OPEN.replace("/echo", "/record"))
    site.process.kill()
    for number, page in enumerate(tabs):
        page.run("async () => { await until(() => names().includes('reconnecting')) }")
        assert page.run(f"[ws.connected, ws.send('{number}a'), ws.send('{number}b')]") == [False, True, True]
    site.process.start()
    wait_until_connected(tabs)
    for page in tabs:
        page.run("async () => { await until(() => messages.length) }")
    received = site.wait_for_received(6)
    assert sorted(received) == ["0a", "0b", "1a", "1b", "2a", "2b"]
    for number in range(3):
        assert received.index(f"{number}a") < received.index(f"{number}b")


def test_other_paths_and_options_share_nothing(site: Site, shared_profile: Profile) -> None:
    page, other = shared_profile.tab(), shared_profile.tab()
    for each in (page, other):
        each.goto(site.url + "/")
    page.run(OPEN)
    other.run("""async () => {
        const path = join('/other', { shared: true })
        const options = join('/echo', { shared: true, reconnectDelay: 51 })
        const own = join('/echo')
        await until(() => [path, options, own].every(({ ws }) => ws.connected))
        path.ws.send('other')
        await until(() => path.messages.length)
        window.all = [path, options, own]
    }""")
    assert site.clients == 4
    assert other.run("all.map(({ messages }) => messages)") == [["other"], [], []]
    assert page.run("messages") == []


def test_other_people_share_nothing(site: Site, engine: Engine, way: str) -> None:
    one, other = engine.profile(WAYS[way]), engine.profile(WAYS[way])
    try:
        tabs = [*open_tabs(one, site, 1), *open_tabs(other, site, 1)]
        assert site.clients == 2
        tabs[0].run("async () => { ws.send('mine'); await until(() => messages.length) }")
        tabs[1].run("async () => { ws.send('its own'); await until(() => messages.length) }")
        assert [page.run("messages") for page in tabs] == [["mine"], ["its own"]]
    finally:
        one.close()
        other.close()


def who(tag: str) -> str:
    """Join, ask as whom, and keep in ``users`` whom all that was heard was for.

    The greeting of ``/who`` goes to those who are there when the connection opens; a tab that comes later has to ask.
    """
    return f"""async () => {{
        join('/who', {{ shared: true, {RETRY} }})
        window.users = () => [...new Set(messages.filter((message) => 'user' in Object(message)).map(({{ user }}) => user))]
        ws.send('{tag}')
        await until(() => messages.some(({{ said }}) => said === '{tag}'))
    }}"""


def test_after_a_change_of_user_no_tab_gets_the_other_users_messages(site: Site, shared_profile: Profile) -> None:
    """With the sessions of another framework, so that the server itself does not notice."""
    first = shared_profile.tab()
    first.goto(site.url + "/foreign-login?user=ann")
    first.goto(site.url + "/")
    first.run(who("first"))
    assert first.run("users()") == ["ann"]
    # Bob logs in, in another tab.
    second = shared_profile.tab()
    second.goto(site.url + "/foreign-login?user=bob")
    second.goto(site.url + "/")
    second.run(who("second"))
    assert second.run("users()") == ["bob"]
    wait_until_connected([first])
    site.wait_for_clients(1)
    site.broadcast("news")
    for page in (first, second):
        page.run("async () => { await until(() => messages.includes('news')) }")
    assert second.run("users()") == ["bob"]
    # The first tab was told, so that its page can act on it; whatever it sends, it sends as bob.
    assert first.run("names().slice(0, 3)") == ["open", "close", "open"]
    answer = first.run(
        "async () => { ws.send('x'); return await until(() => messages.find(({ said }) => said === 'x')) }"
    )
    assert answer == {"user": "bob", "said": "x"}


def test_a_login_as_another_ends_the_tabs_of_the_one_before(site: Site, shared_profile: Profile) -> None:
    """With Odac's own sessions, which the server ends."""
    first = shared_profile.tab()
    first.goto(site.url + "/login?user=ann")
    first.goto(site.url + "/")
    first.run(who("first"))
    second = shared_profile.tab()
    second.goto(site.url + "/login?user=bob")
    second.goto(site.url + "/")
    second.run(who("second"))
    first.run("async () => { await until(() => ws.state === 3) }")
    site.wait_for_clients(1)
    site.broadcast("for bob")
    second.run("async () => { await until(() => messages.includes('for bob')) }")
    assert second.run("users()") == ["bob"]
    assert first.run("[users(), messages.includes('for bob'), log.find(([name]) => name === 'close')[1]]") == [
        ["ann"],
        False,
        4001,
    ]


def test_a_login_in_a_page_that_reopens_its_socket_moves_the_other_tabs(site: Site, shared_profile: Profile) -> None:
    tabs = open_tabs(shared_profile, site, 2, OPEN.replace("/echo", "/who"))
    tabs[0].run("async () => { await fetch('/login?user=ann'); ws.close() }")
    tabs[0].run(who("first"))
    assert tabs[0].run("users()") == ["ann"]
    answer = tabs[1].run("""async () => {
        await until(() => ws.connected && names().filter((name) => name === 'open').length > 1)
        ws.send('x')
        return await until(() => messages.find(({ said }) => said === 'x'))
    }""")
    assert answer == {"user": "ann", "said": "x"}
    site.wait_for_clients(1)


def test_after_a_logout_the_server_ends_it_for_every_tab(site: Site, shared_profile: Profile) -> None:
    page = shared_profile.tab()
    page.goto(site.url + "/login?user=ann")
    tabs = open_tabs(shared_profile, site, 2, OPEN.replace("/echo", "/who"))
    tabs[0].run("async () => { await fetch('/logout') }")
    for each in tabs:
        assert (
            each.run(
                "async () => { await until(() => ws.state === 3); return log.find(([name]) => name === 'close')[1] }"
            )
            == 4001
        )
    assert site.clients == 0


def test_a_tab_that_leaves_for_another_page_and_comes_back_joins_again(
    site: Site, shared_profile: Profile, way: str
) -> None:
    tabs = open_tabs(shared_profile, site, 2)
    tabs[0].goto(site.url + "/away")
    wait_until_taken_over(tabs[1:], way)
    tabs[0].goto(site.url + "/")
    tabs[0].run(OPEN)
    hear(site, tabs, "again")


@pytest.mark.parametrize("way", ["leader"])
def test_without_a_session_to_compare_each_tab_is_on_its_own(site: Site, shared_profile: Profile) -> None:
    """A token endpoint that is not this app's, as behind a proxy that answers for it."""
    replace_answer = """
        const { fetch } = window
        window.fetch = async (url, options) => {
            const { token } = await (await fetch(url, options)).json()
            return new Response(JSON.stringify({ token }))
        }
    """
    tabs = open_tabs(shared_profile, site, 2, OPEN.replace("join(", replace_answer + "; join(", 1))
    assert site.clients == 2
    hear(site, tabs, "to each")
