"""Firefox through WebDriver BiDi, which it speaks itself: no driver in between.

https://www.w3.org/TR/webdriver-bidi/
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

DEADLINE = 60.0
PREFERENCES = {
    # Nothing that was not asked for, and nobody to call home to.
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutConfig.showWarning": False,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "browser.tabs.warnOnClose": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    # One process for all pages: a new one for each profile takes longer than most tests.
    "dom.ipc.processCount": 1,
    "dom.ipc.processPrelaunch.enabled": False,
    "extensions.update.enabled": False,
    "fission.autostart": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}


def find_firefox() -> str:
    """The browser's path; without one the test is skipped, and fails in CI."""
    path = shutil.which("firefox-esr") or shutil.which("firefox")
    if path is None:
        assert os.environ.get("CI") != "true", "Firefox is missing, and CI leaves nothing out"
        pytest.skip("Firefox is not installed")
    return path


class Firefox:
    """A headless Firefox with a profile folder of its own.

    Args:
        executable: its path.
    """

    name = "firefox"

    def __init__(self, executable: str) -> None:
        self._folder = tempfile.mkdtemp(prefix="odac-firefox-")
        lines = [f"user_pref({json.dumps(key)}, {json.dumps(value)});" for key, value in PREFERENCES.items()]
        (Path(self._folder) / "user.js").write_text("\n".join(lines))
        self._process = subprocess.Popen(
            [executable, "--headless", "--no-remote", "--profile", self._folder, "--remote-debugging-port", "0"],
            # It stops at its start, without a word, where it cannot write to the user's home. Its helper for crash
            # reports would outlive it.
            env={**os.environ, "HOME": self._folder, "MOZ_CRASHREPORTER_DISABLE": "1"},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self._ids = itertools.count(1)
        self._socket: ClientConnection | None = None
        self._stack = contextlib.ExitStack()
        try:
            # Without pings: a thread would send them, between tests too, and draw their contents from the module
            # random, which Hypothesis reports as a strategy's use of it.
            opening = connect(
                f"{self._address()}/session", max_size=None, compression=None, proxy=None, ping_interval=None
            )
            self._socket = self._stack.enter_context(opening)
            self.call("session.new", {"capabilities": {}})
        except BaseException:
            self.close()
            raise

    def _address(self) -> str:
        assert self._process.stderr is not None
        deadline = threading.Timer(DEADLINE, self._process.kill)
        deadline.start()
        try:
            for line in self._process.stderr:
                found = re.search(r"WebDriver BiDi listening on (ws://\S+)", line)
                if found:
                    return found[1]
        finally:
            deadline.cancel()
        raise AssertionError(f"Firefox ended before it listened, or did not listen within {DEADLINE:.0f} s")

    def call(self, method: str, parameters: dict[str, Any]) -> Any:
        """Send a command, and return its result."""
        assert self._socket is not None
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        end = time.monotonic() + DEADLINE
        while True:
            message = json.loads(self._socket.recv(timeout=max(0.0, end - time.monotonic())))
            if message.get("id") != number:
                continue  # an event
            assert message["type"] == "success", f"{method}: {message.get('message')}"
            return message["result"]

    def profile(self, script: str = "") -> FirefoxProfile:
        """A container with cookies of its own."""
        context = self.call("browser.createUserContext", {})["userContext"]
        if script:
            function = "() => {" + script + "}"
            self.call("script.addPreloadScript", {"functionDeclaration": function, "userContexts": [context]})
        return FirefoxProfile(self, context)

    def close(self) -> None:
        """End the browser, and remove its folder."""
        self._stack.close()
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        finally:
            self._process.kill()
            self._process.wait()
            if self._process.stderr is not None:
                self._process.stderr.close()
            shutil.rmtree(self._folder, ignore_errors=True)


class FirefoxProfile:
    """A container, which Firefox calls a user context."""

    def __init__(self, firefox: Firefox, user_context: str) -> None:
        self._firefox = firefox
        self._user_context = user_context

    def tab(self) -> FirefoxTab:
        """Open a tab."""
        parameters = {"type": "tab", "userContext": self._user_context}
        return FirefoxTab(self._firefox, self._firefox.call("browsingContext.create", parameters)["context"])

    def close(self) -> None:
        """Close its tabs, and forget its cookies."""
        self._firefox.call("browser.removeUserContext", {"userContext": self._user_context})


class FirefoxTab:
    """A tab."""

    def __init__(self, firefox: Firefox, context: str) -> None:
        self._firefox = firefox
        self._context = context

    def goto(self, url: str) -> None:
        """Load a page, and return when its scripts have run."""
        self._firefox.call("browsingContext.navigate", {"context": self._context, "url": url, "wait": "complete"})

    def run(self, script: str) -> Any:
        """Evaluate an expression, a promise or a function, and return its JSON."""
        result = self._firefox.call(
            "script.evaluate",
            {
                # As Playwright does: a function is called. JSON, because BiDi has a notation of its own for values.
                "expression": "(async () => { const value = (" + script + "); "
                "return JSON.stringify(await (typeof value === 'function' ? value() : value)) ?? 'null' })()",
                "target": {"context": self._context},
                "awaitPromise": True,
            },
        )
        assert result["type"] == "success", result.get("exceptionDetails", {}).get("text")
        return json.loads(result["result"]["value"])

    def close(self) -> None:
        """Close the tab as a person does."""
        self._firefox.call("browsingContext.close", {"context": self._context})
