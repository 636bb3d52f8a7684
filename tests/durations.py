"""Which test files take longest, so that the processes that share the tests begin with them.

Seconds on an idle machine with two cores, roughly. A file that is not here takes less than the last of them; a wrong
figure makes the whole run longer by a little and nothing else.
"""

from __future__ import annotations

from typing import Final

__all__ = ["SECONDS", "rank"]

SECONDS: Final[dict[str, int]] = {
    "tests/integration/test_django.py": 240,
    "tests/integration/test_supervisor.py": 180,
    "tests/integration/test_proxies.py": 90,
    "tests/integration/test_workers.py": 60,
    "tests/integration/test_asgi_servers.py": 90,
    "tests/browser/client/test_shared.py": 90,
    "tests/browser/test_chat_faults.py": 45,
    "tests/browser/test_chat_reading.py": 45,
    "tests/browser/test_chat_access.py": 45,
    "tests/browser/client/test_edges.py": 60,
    "tests/browser/client/test_reconnect.py": 60,
    "tests/browser/test_chat.py": 60,
    "tests/browser/client/test_bundles.py": 60,
    "tests/integration/brokers/test_faults.py": 60,
    "tests/integration/test_preload.py": 60,
    "tests/integration/test_takeover.py": 50,
    "tests/integration/test_reach.py": 20,
    "tests/unit/test_docs.py": 60,
    "tests/unit/lanes/test_reentry.py": 15,
    "tests/unit/wire/test_hostile.py": 15,
}


def rank(file: str) -> int:
    """A key to sort files by: the longest first."""
    return -SECONDS.get(file, 0)
