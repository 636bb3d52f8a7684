"""Which test files take longest, so that the processes that share the tests begin with them.

Seconds on an idle machine with two cores, roughly. A file that is not here takes less than the last of them; a wrong
figure makes the whole run longer by a little and nothing else.
"""

from __future__ import annotations

from typing import Final

__all__ = ["SECONDS", "rank"]

SECONDS: Final[dict[str, int]] = {
    "tests/integration/test_supervisor.py": 200,
    "tests/integration/brokers/test_faults.py": 170,
    "tests/browser/client/test_edges.py": 160,
    "tests/browser/test_chat.py": 115,
    "tests/integration/brokers/test_breaks.py": 95,
    "tests/integration/test_django.py": 90,
    "tests/integration/test_server.py": 90,
    "tests/browser/client/test_shared.py": 85,
    "tests/integration/test_proxies.py": 80,
    "tests/browser/test_chat_access.py": 70,
    "tests/browser/test_chat_reading.py": 70,
    "tests/browser/client/test_recovery.py": 70,
    "tests/browser/client/test_tab_life.py": 65,
    "tests/browser/test_chat_faults.py": 60,
    "tests/browser/client/test_reconnect.py": 60,
    "tests/browser/client/test_bundles.py": 60,
    "tests/integration/test_asgi_servers.py": 60,
    "tests/integration/test_workers.py": 60,
    "tests/integration/test_preload.py": 60,
    "tests/integration/test_takeover.py": 50,
    "tests/unit/test_docs.py": 50,
    "tests/unit/test_browser_client.py": 20,
    "tests/integration/test_further_proxies.py": 45,
    "tests/hostile/test_leaks.py": 45,
    "tests/hostile/test_stalled_reader.py": 45,
    "tests/integration/test_drain.py": 45,
    "tests/integration/test_control.py": 20,
    "tests/browser/test_animation.py": 20,
    "tests/integration/test_reach.py": 20,
    "tests/integration/test_bearers.py": 20,
    "tests/integration/test_presence.py": 15,
    "tests/integration/test_calls.py": 15,
    "tests/integration/test_client.py": 15,
    "tests/integration/test_history_client.py": 15,
    "tests/integration/test_wrong_input.py": 15,
    "tests/types/test_verdicts.py": 15,
    "tests/unit/new_project/test_project.py": 15,
    "tests/unit/wire/test_parser.py": 15,
    "tests/unit/wire/test_hostile.py": 15,
}


def rank(file: str) -> int:
    """A key to sort files by: the longest first."""
    return -SECONDS.get(file, 0)
