"""What all tests share."""

from __future__ import annotations

import signal

import pytest

from odac import notices


def pytest_configure() -> None:
    """A shell starts what it puts in the background deaf to Ctrl-C, and the programs under test would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse tests whose names hold a memory address: processes that share the tests must call them the same."""
    unstable = sorted({item.nodeid.partition("[")[0] for item in items if " at 0x" in item.nodeid})
    if unstable:
        raise pytest.UsageError(f"names that change with each run; give them ids=stable (tests/ids.py): {unstable}")


@pytest.fixture(autouse=True)
def afresh() -> None:
    """Each test sees its own warnings and counts, whatever those before it made of them."""
    notices._start_afresh()
