from __future__ import annotations

import asyncio
import signal
import socket
import sys

import pytest

from odac.serving.options import CannotStart
from odac.serving.spawning import UNKNOWN, how_it_ended, spawn


def test_an_end_in_words() -> None:
    assert how_it_ended(3) == "ended with exit code 3"
    assert how_it_ended(-signal.SIGKILL) == "was ended by SIGKILL"
    assert how_it_ended(-64) in ("was ended by signal 64", "was ended by SIGRTMAX")
    assert how_it_ended(UNKNOWN) == "has ended"


def test_a_system_that_starts_no_process_is_said_and_nothing_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    ours, theirs = socket.socketpair()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with ours:
        with pytest.raises(CannotStart, match="no process can be started"):
            asyncio.run(spawn("worker", theirs, [], {}))
        assert theirs.fileno() == -1
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before, "SIGINT and SIGHUP are heard again"
