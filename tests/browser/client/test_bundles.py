"""The npm package as users have it: bundled, under a development server that replaces modules, and required by Jest."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.client.chromium import Chromium
from tests.browser.client.conftest import APP, Site
from tests.browser.client.engines import Engine
from tests.browser.conftest import ROOT, ServerProcess

BUNDLES = ROOT / "tests" / "browser" / "bundles"
BUNDLERS = ["vite", "webpack", "rollup", "esbuild", "esbuild-iife", "esbuild-require"]
# Those that put what is loaded later into files of their own.
SPLITTING = BUNDLERS[:4]
MODULES = ["vite", "rollup", "esbuild"]
DEADLINE = 120


def missing(what: str) -> None:
    """Skip on a machine without it; in CI that is a failure."""
    assert os.environ.get("CI") != "true", f"{what} is missing, and CI leaves nothing out"
    pytest.skip(f"{what} is not installed")


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, timeout=DEADLINE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the packed client among its packages."""
    for folder in (ROOT / "client", BUNDLES):
        if shutil.which("npm") is None or not (folder / "node_modules").is_dir():
            missing(f"{folder.relative_to(ROOT)}/node_modules (npm install, in {folder.relative_to(ROOT)}/)")
    made = tmp_path_factory.mktemp("project")
    shutil.copytree(BUNDLES, made, ignore=shutil.ignore_patterns("node_modules"), dirs_exist_ok=True)
    packages = made / "node_modules"
    packages.mkdir()
    for package in (BUNDLES / "node_modules").iterdir():
        (packages / package.name).symlink_to(package)
    run("npm", "pack", "--loglevel=silent", "--pack-destination", str(made), cwd=ROOT / "client")
    (packed,) = made.glob("odac-client-*.tgz")
    with tarfile.open(packed) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # which Python has since 3.11.4
        archive.extractall(made)
    (made / "package").rename(packages / "odac-client")
    return made


@pytest.fixture(scope="module", params=BUNDLERS)
def bundle(request: pytest.FixtureRequest, project: Path) -> Path:
    """A folder with what a bundler made."""
    bundler: str = request.param
    output = project / "bundles" / bundler
    output.mkdir(parents=True)
    run("node", "bundle.mjs", bundler, str(output), cwd=project)
    return output


@pytest.fixture
def bundle_site(bundle: Path, start_server: Callable[..., ServerProcess]) -> Iterator[Site]:
    """The server, which serves the bundle as well."""
    process = start_server(APP, {"BUNDLE": str(bundle)})
    yield Site(process)
    process.kill()


def test_a_bundle_connects_with_and_without_sharing(bundle: Path, bundle_site: Site, engine: Engine) -> None:
    profile = engine.profile()
    tabs = []
    for _ in range(2):
        page = profile.tab()
        kind = "module" if bundle.name in MODULES else "text/javascript"
        page.goto(f"{bundle_site.url}/bundle?type={kind}")
        page.run("async () => { await until(() => window.Odac); join('/echo', { shared: true }) }")
        tabs.append(page)
    for number, page in enumerate(tabs):
        page.run(f"async () => {{ ws.send('from {number}'); await until(() => messages.includes('from {number}')) }}")
    assert bundle_site.clients == 1
    # Without a second copy of the client for those who do not share.
    assert len(list(bundle.glob("*.js"))) == 1 if bundle.name not in SPLITTING else len(list(bundle.glob("*.js"))) > 1
    assert tabs[0].run(
        "async () => { join('/echo'); ws.send('own'); await until(() => messages.length); return messages }"
    ) == ["own"]
    assert bundle_site.clients == 2
    profile.close()


@pytest.fixture
def development(project: Path, site: Site) -> Iterator[str]:
    """Vite's development server in front of the site."""
    command = ["node", "serve.mjs", site.url]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("page", "component", "entry"), [("react", "Echo.jsx", "react.jsx"), ("vue", "Echo.vue", "vue.js")]
)
def test_a_component_in_development(
    project: Path, development: str, site: Site, chromium: Browser, page: str, component: str, entry: str
) -> None:
    """In strict mode one connection is made, for one token; a replaced module's goes, and its successor's comes. Where
    Vite cannot replace a module, it reloads the page, and again there is one connection.
    """
    profile = Chromium(chromium).profile()
    tab = profile.tab()
    tab.goto(f"{development}{page}.html")
    button = tab.page.locator("button")
    expect(button).to_have_attribute("data-state", "1")
    button.click()
    expect(button).to_have_text("first edition: hello")
    asked = "performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/odac/token')).length"
    assert [tab.run(asked), site.clients] == [1, 1]
    tab.run("window.loadedOnce = true")
    source = project / "src" / component
    for edition in ("second", "third"):
        source.write_text((BUNDLES / "src" / component).read_text().replace("first edition", f"{edition} edition"))
        expect(button).to_contain_text(f"{edition} edition")
        expect(button).to_have_attribute("data-state", "1")
        button.click()
        expect(button).to_have_text(f"{edition} edition: hello")
        site.wait_for_clients(1)
    assert tab.run("window.loadedOnce === true"), "the modules were replaced in the page that there was"
    start = project / "src" / entry
    start.write_text((BUNDLES / "src" / entry).read_text() + "\n// changed\n")
    tab.page.wait_for_function("window.loadedOnce !== true", timeout=30_000)
    expect(button).to_contain_text("third edition: nothing")
    expect(button).to_have_attribute("data-state", "1")
    button.click()
    expect(button).to_have_text("third edition: hello")
    site.wait_for_clients(1)
    profile.close()
    site.wait_for_clients(0)


def test_the_pages_own_configuration_of_vite(
    project: Path, tmp_path: Path, start_server: Callable[..., ServerProcess], chromium: Browser
) -> None:
    """docs/client/vite.md: its app, its configuration and its main.js, in one page with the token and a WebSocket."""
    page = (ROOT / "docs" / "client" / "vite.md").read_text(encoding="utf-8")
    files = dict(re.findall(r"```(?:js|python)\n(?://|#) (\S+)\n(.*?)```", page, re.DOTALL))
    (tmp_path / "shop.py").write_text(files["shop.py"])
    app = start_server("shop:app", arguments=["--app-dir", str(tmp_path)])
    folder = project / "vite-page"
    folder.mkdir()
    for name in ("vite.config.js", "main.js"):
        (folder / name).write_text(files[name])
    (folder / "index.html").write_text('<!doctype html><script type="module" src="/main.js"></script>')
    start = (
        "import { createServer } from 'vite'; const server = await createServer({ logLevel: 'error', server: { host:"
        " '127.0.0.1', port: 0 } }); await server.listen(); console.log(server.resolvedUrls.local[0])"
    )
    command = ["node", "--input-type=module", "-e", start]
    environment = {**os.environ, "APP_URL": app.url}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        context = chromium.new_context()
        try:
            url = process.stdout.readline().strip()
            tab = context.new_page()
            with tab.expect_console_message(lambda message: "being packed" in message.text, timeout=60_000):
                tab.goto(url)
            assert tab.evaluate("async () => await (await fetch('/api/stock')).json()") == {"tea": 3}
        finally:
            context.close()
            process.terminate()


def test_jest_in_a_project_of_common_js_modules(project: Path) -> None:
    jest = str(BUNDLES / "node_modules" / "jest" / "bin" / "jest.js")
    run("node", jest, "--rootDir", str(project / "jest"), "--ci", "--watchman=false", cwd=project / "jest")
