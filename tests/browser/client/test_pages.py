"""Pages with a strict Content-Security-Policy, pages over TLS, and pages with the original Odac client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from playwright.sync_api import Browser

from tests.browser.client.chromium import Chromium
from tests.browser.client.conftest import APP, Site
from tests.browser.client.engines import Profile, Tab
from tests.browser.client.test_shared import OPEN, hear, wait_until_taken_over
from tests.browser.conftest import ServerProcess

# In front of the page's scripts: what the policy stopped, and whether a worker was made.
WATCH = """
window.violations = []
document.addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective))
"""


def open_under(policy: str, profile: Profile, site: Site) -> list[Tab]:
    tabs = []
    for _ in range(3):
        page = profile.tab()
        page.goto(f"{site.url}/?policy={policy}")
        page.run(OPEN)
        tabs.append(page)
    return tabs


@pytest.fixture
def watched(engine: Chromium) -> Iterator[Profile]:
    made = engine.profile(WATCH)
    yield made
    made.close()


def test_a_strict_policy_stops_nothing(site: Site, watched: Profile) -> None:
    """``script-src 'self'; connect-src 'self'; worker-src 'self'`` is all that is needed: nothing inline, no blob."""
    tabs = open_under("strict", watched, site)
    assert [page.run("violations") for page in tabs] == [[], [], []]
    assert site.clients == 1
    # The first tab may go: a worker holds the connection, which was allowed.
    tabs[0].close()
    assert [page.run("names()") for page in tabs[1:]] == [["open"], ["open"]]
    hear(site, tabs[1:], "under a strict policy")


@pytest.mark.parametrize("policy", ["no-worker", "trusted-types"])
def test_where_workers_are_forbidden_a_tab_leads(site: Site, watched: Profile, policy: str) -> None:
    tabs = open_under(policy, watched, site)
    site.wait_for_clients(1)
    hear(site, tabs, "without a worker")
    tabs[0].close()
    wait_until_taken_over(tabs[1:], "leader")
    site.wait_for_clients(1)
    hear(site, tabs[1:], "with another leader")


ORIGINAL = """
// What the original browser client does: it asks the site's root for a token, and offers that and nothing else.
window.original = async (path) => {
  const client = { opened: 0, messages: [], protocols: [], closed: [] }
  const open = async () => {
    try {
      const response = await fetch('/', { headers: { 'X-Odac': 'token' } })
      const { token } = await response.json()
      const socket = new WebSocket(location.origin.replace('http', 'ws') + path, ['odac-token-' + token])
      client.socket = socket
      client.protocols.push([socket, 'odac-token-' + token])
      socket.onopen = () => client.opened++
      socket.onmessage = (event) => client.messages.push(event.data)
      socket.onclose = (event) => { client.closed.push(event.code); setTimeout(open, 50) }
    } catch {
      setTimeout(open, 50)
    }
  }
  await open()
  return client
}
"""


def test_the_original_client_connects_and_reconnects(site: Site, engine: Chromium) -> None:
    profile = engine.profile(ORIGINAL)
    page = profile.tab()
    page.goto(site.url + "/")
    # It is answered with the protocol that it offered, and with plain messages.
    assert page.run("""async () => {
        window.client = await original('/echo')
        await until(() => client.opened === 1)
        client.socket.send(JSON.stringify({ a: 1 }))
        client.socket.send('plain')
        await until(() => client.messages.length === 2)
        return [client.messages, client.socket.protocol === client.protocols[0][1]]
    }""") == [['{"a":1}', "plain"], True]
    site.process.kill()
    page.run("async () => { await until(() => client.closed.length) }")
    site.process.start()
    assert page.run("""async () => {
        await until(() => client.opened === 2)
        client.socket.send('again')
        await until(() => client.messages.length === 3)
        return [client.messages[2], client.closed[0], client.protocols.at(-1)[1] === client.protocols[0][1]]
    }""") == ["again", 1006, False]
    profile.close()


def test_over_tls(chromium: Browser, start_server: Callable[..., ServerProcess], tmp_path: Path) -> None:
    """On an ``https:`` page a path becomes ``wss:``, and the session cookie one that no other site can set."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.private_key_pem.write_to_path(str(key))
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(str(chain), append=True)
    process = start_server(APP, arguments=["--ssl-certfile", str(chain), "--ssl-keyfile", str(key)])
    context = chromium.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.goto(process.url.replace("http:", "https:") + "/")
    urls: list[str] = []
    page.on("websocket", lambda websocket: urls.append(websocket.url))
    page.evaluate("async () => { join('/echo'); ws.send('x'); await until(() => messages.length) }")
    assert urls == [process.url.replace("http:", "wss:") + "/echo"]
    assert [(cookie["name"], cookie["secure"], cookie["httpOnly"]) for cookie in context.cookies()] == [
        ("__Host-odac", True, True)
    ]
    context.close()
