"""Addresses that a page, a frame or a worker may have, and those that it may connect to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from playwright.sync_api import Browser

from tests.browser.client.conftest import APP, Site
from tests.browser.client.engines import Profile, Tab
from tests.browser.conftest import ServerProcess

ECHO = "ws.send('x'); await until(() => messages.length)"


def test_a_page_that_was_opened_with_a_name_and_a_password(site: Site, profile: Profile) -> None:
    page = profile.tab()
    page.goto(site.url.replace("http://", "http://user:pass@") + "/")
    for options in ("{}", "{ shared: true }", "{ prefix: '/odac/' }"):
        assert page.run(f"async () => {{ join('/echo', {options}); {ECHO}; return messages }}") == ["x"]


# A page in a frame: it has the client, and what `join` needs.
PAGE = """
const { origin } = location
const html = `<script src="${origin}/odac/odac.js"></` + `script><script src="${origin}/page.js"></` + `script>`
const blob = (text) => URL.createObjectURL(new Blob([text], { type: 'text/html' }))
"""
FRAMES = {
    "srcdoc": "{ srcdoc: html }",
    "blob": "{ src: blob(html) }",
    "blob-with-base": "{ src: blob(`<base href='${origin}/below/'>` + html) }",
}


@pytest.mark.parametrize("shared", ["false", "true"])
@pytest.mark.parametrize("kind", FRAMES)
def test_a_page_without_an_address_of_its_own(tab: Tab, kind: str, shared: str) -> None:
    assert tab.run(f"""async () => {{
        {PAGE}
        const frame = Object.assign(document.createElement('iframe'), {FRAMES[kind]})
        document.body.append(frame)
        await new Promise((resolve) => (frame.onload = resolve))
        const {{ ws, messages, log }} = frame.contentWindow.join('/echo', {{ shared: {shared}, reconnectDelay: 50 }})
        ws.send('x')
        await until(() => messages.length)
        return [messages, log]
    }}""") == [["x"], [["open"]]]


def test_a_base_counts(tab: Tab) -> None:
    """As the standard has it for the native object, which Firefox does not do yet."""
    assert tab.run("""async () => {
        const base = document.createElement('base')
        base.href = '/below/'
        document.head.append(base)
        const requested = []
        const { WebSocket: Native } = window
        window.WebSocket = class extends Native {
            constructor(url, protocols) { super(url, protocols); requested.push(url) }
        }
        join('echo', { prefix: 'rt', reconnectDelay: 50 })
        ws.send('x')
        await until(() => messages.length)
        return [new URL(requested[0]).pathname, messages, performance.getEntriesByType('resource')
            .map(({ name }) => new URL(name).pathname).includes('/below/rt/token')]
    }""") == ["/below/echo", ["x"], True]


def test_a_prefix_with_a_slash_at_its_end(tab: Tab) -> None:
    assert tab.run(f"async () => {{ join('/echo', {{ prefix: '/odac/' }}); {ECHO}; return names() }}") == ["open"]
    assert tab.run(f"""async () => {{
        join('/echo', {{ prefix: '/odac/', shared: true }})
        {ECHO}
        return names()
    }}""") == ["open"]


WORKERS = {
    "classic": "new Worker('/worker.js')",
    "module": "new Worker('/worker.mjs', { type: 'module' })",
    "blob": "new Worker(URL.createObjectURL(new Blob([`importScripts('${location.origin}/odac/odac.js');"
    "importScripts('${location.origin}/worker-page.js')`], { type: 'text/javascript' })))",
}


@pytest.mark.parametrize("shared", ["false", "true"])
@pytest.mark.parametrize("kind", WORKERS)
def test_in_a_worker(site: Site, tab: Tab, kind: str, shared: str) -> None:
    assert tab.run(f"""async () => {{
        const worker = {WORKERS[kind]}
        const heard = []
        worker.onmessage = ({{ data }}) => heard.push(data)
        worker.onerror = ({{ message }}) => heard.push(['error', message])
        worker.postMessage(['/echo', {{ shared: {shared}, reconnectDelay: 50 }}])
        await until(() => heard.length)
        return heard
    }}""") == [["message", "from a worker"]]


def test_a_secure_page_may_connect_to_this_machine(
    site: Site, chromium: Browser, start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    """As with the native object, which takes this machine for a secure place."""
    certificate = trustme.CA().issue_cert("127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.private_key_pem.write_to_path(str(key))
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(str(chain), append=True)
    process = start_server(APP, arguments=["--ssl-certfile", str(chain), "--ssl-keyfile", str(key)])
    context = chromium.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.goto(process.url.replace("http:", "https:") + "/")
    address = site.url.replace("http:", "ws:") + "/anywhere"
    page.evaluate(f"""async () => {{
        join('{address}', {{ token: false }})
        ws.send('x')
        await until(() => messages.length)
    }}""")
    assert page.evaluate("[messages, names()]") == [["x"], ["open"]]
    context.close()
