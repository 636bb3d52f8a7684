"""Who runs the local broker's proxy, and who comes next. What passes through it is tested with the other brokers."""

from __future__ import annotations

import multiprocessing
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from odac.brokers.local_paths import base
from odac.brokers.local_proxy import LocalProxy
from odac.errors import BrokerError, ConfigurationError

DEADLINE = 30.0


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def sockets(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def runs(proxy: LocalProxy) -> bool:
    """Whether this process runs the proxy rather than standing by."""
    return proxy._context is not None


def test_only_this_user_can_reach_the_sockets(folder: Path) -> None:
    proxy = LocalProxy(base() / "chat")
    proxy.start()
    try:
        for each in (base(), base() / "chat"):
            assert stat.S_IMODE(each.stat().st_mode) == 0o700
        for name in ("in", "out", "log"):
            assert stat.S_IMODE((base() / "chat" / name).stat().st_mode) == 0o600
    finally:
        proxy.stop()
    assert sockets(base() / "chat") == []


def test_one_runs_it_and_the_next_takes_over(folder: Path) -> None:
    first, second = LocalProxy(folder / "s"), LocalProxy(folder / "s")
    first.start()
    second.start()
    assert (runs(first), runs(second)) == (True, False)
    first.stop()
    until(lambda: runs(second))
    assert sockets(folder / "s") == ["in", "log", "out"]
    second.stop()
    assert sockets(folder / "s") == []


def test_who_stands_by_can_stop_and_takes_nothing_with_it(folder: Path) -> None:
    first, second = LocalProxy(folder / "s"), LocalProxy(folder / "s")
    first.start()
    second.start()
    second.stop()
    assert runs(first)
    assert sockets(folder / "s") == ["in", "log", "out"]
    first.stop()


def test_sockets_that_a_killed_process_left_are_replaced(folder: Path) -> None:
    code = (
        "import sys, signal; from pathlib import Path; from odac.brokers.local_proxy import LocalProxy\n"
        "LocalProxy(Path(sys.argv[1])).start(); print('runs', flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder / "s")], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"runs\n"
        proxy = LocalProxy(folder / "s")
        proxy.start()
        try:
            assert not runs(proxy)
            other.kill()
            other.wait()
            until(lambda: runs(proxy))
        finally:
            proxy.stop()


def test_a_forked_child_does_not_keep_others_from_taking_over(folder: Path) -> None:
    first, second = LocalProxy(folder / "s"), LocalProxy(folder / "s")
    first.start()
    ours, theirs = multiprocessing.Pipe()
    child = os.fork()
    if child == 0:
        ours.close()
        theirs.poll(DEADLINE)
        os._exit(0)
    theirs.close()
    try:
        first.stop()
        second.start()
        until(lambda: runs(second))
    finally:
        second.stop()
        ours.close()
        os.waitpid(child, 0)


def test_a_directory_of_others_is_refused(folder: Path) -> None:
    (folder / "s").mkdir()
    (folder / "s").chmod(0o777)
    with pytest.raises(ConfigurationError, match="other users may put a socket there"):
        LocalProxy(folder / "s").start()
    base().mkdir()
    base().chmod(0o777)
    with pytest.raises(ConfigurationError, match="other users may put a socket there"):
        LocalProxy(base() / "chat").start()


def test_a_directory_that_cannot_be(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be created"):
        LocalProxy(folder / "file").start()
    with pytest.raises(ConfigurationError, match="too many for the path of a Unix socket"):
        LocalProxy(folder / ("x" * 100))
    (folder / "s" / "in").mkdir(parents=True)
    with pytest.raises(BrokerError):
        LocalProxy(folder / "s").start()
