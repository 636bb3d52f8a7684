"""What all tests share."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from odac import notices
from tests.durations import rank

# No deadline of a property's example: under a sanitizer, or on a busy machine, one takes longer than it should.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


def pytest_configure() -> None:
    """Handle signals that were ignored when the tests were started: the programs under test would inherit that.

    A shell script ignores SIGINT in the commands that it puts into the background, and nohup ignores SIGHUP.
    """
    # A forward proxy of this machine has nothing to do with servers on its loopback interface.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost,::1"
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse tests whose names hold a memory address: processes that share the tests must call them the same.

    Where several processes share them, what takes a long time starts first.
    """
    unstable = sorted({item.nodeid.partition("[")[0] for item in items if " at 0x" in item.nodeid})
    if unstable:
        raise pytest.UsageError(f"names that change with each run; give them ids=stable (tests/ids.py): {unstable}")
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid.partition("::")[0]))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, which takes a quarter of the time and finds next to nothing.

    What was collected stays out of its sight: many tests run it, and it would go through all of it.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


_seconds: dict[str, float] = {}
"""What the tests of each file took, counted in the process that writes the summary."""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    file = report.nodeid.partition("::")[0]
    _seconds[file] = _seconds.get(file, 0.0) + report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which files took longest, where several processes shared them: tests/durations.py should know."""
    if config.getoption("numprocesses", None):
        terminalreporter.section("slowest files")
        for file in sorted(_seconds, key=lambda file: -_seconds[file])[:12]:
            terminalreporter.write_line(f"{_seconds[file]:.0f} s  {file}")


OTHER_LANE = "not for this one: "
"""How the reason of a skip begins that holds on every machine: what the test is about does not exist in this case."""

Report = pytest.TestReport | pytest.CollectReport


def failed_in_ci(report: Report) -> Report:
    """With CI=true, make a failure of what is left out for want of something: nobody would notice."""
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        _, _, reason = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, str(report.longrepr))
        reason = reason.removeprefix("Skipped: ")
        python_alone = os.environ.get("ODAC_SPEEDUPS") == "0" and "ODAC_SPEEDUPS=0" in reason
        if not reason.startswith(OTHER_LANE) and not python_alone:
            report.outcome = "failed"
            report.longrepr = f"CI leaves nothing out: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, Report]:
    return failed_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, Report]:
    return failed_in_ci((yield))


@pytest.fixture(autouse=True)
def afresh() -> None:
    """Each test sees its own warnings and counts, whatever those before it made of them."""
    notices._kinds.clear()
    notices._hits.update(dict.fromkeys(notices._hits, 0))


@pytest.fixture
def collector() -> Iterator[None]:
    """Nothing is collected but by :func:`tests.cyclic_garbage.cyclic_garbage`."""
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()
