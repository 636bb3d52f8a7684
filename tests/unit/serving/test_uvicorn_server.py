from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import uvloop

from odac import Limits, Odac
from odac.lanes.collector import collector
from odac.serving import acceptors
from odac.serving.loading import Found
from odac.serving.options import ServeOptions
from odac.serving.uvicorn_config import UvicornConfig
from odac.serving.uvicorn_server import Server, grace_of
from odac.speedups import COMPILED

SECRET = "a secret for the tests, and a long one"


async def app(scope: Any, receive: Any, send: Any) -> None: ...


def server(*signals: signal.Signals, sockets: Sequence[socket.socket] = ()) -> Server:
    return Server(
        UvicornConfig(app, ServeOptions(), Limits()),
        sockets,
        tls=None,
        apps=[],
        limits=Limits(),
        started=lambda: None,
        grace=1,
        signals=signals,
    )


def test_stopping_may_take_what_the_most_patient_app_allows() -> None:
    apps = [
        Found(Odac(SECRET, limits=Limits(drain_timeout=drain, close_timeout=close)), "")
        for drain, close in ((2, 3), (10, 1))
    ]
    assert grace_of(apps) == 12
    assert grace_of(apps[:1]) == 6
    assert grace_of([]) == Limits().drain_timeout + Limits().close_timeout + 1


def test_the_first_signal_stops_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    made = server(signal.SIGTERM)
    with made.capture_signals():
        assert not made.should_exit
        os.kill(os.getpid(), signal.SIGTERM)
        assert vars(made)["should_exit"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_second_signal_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    made = server(signal.SIGINT)
    made.handle_exit(signal.SIGINT, None)
    assert ended == []
    made.handle_exit(signal.SIGINT, None)
    assert ended == [128 + signal.SIGINT]


def test_the_first_signal_of_a_worker_that_drains_already_is_not_its_second(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    made = server(signal.SIGTERM)
    made.should_exit = True  # the supervisor has said so
    made.handle_exit(signal.SIGTERM, None)
    assert ended == []
    made.handle_exit(signal.SIGTERM, None)
    assert ended == [128 + signal.SIGTERM]


@pytest.mark.parametrize(("number", "stops"), [(signal.SIGHUP, False), (signal.SIGINT, True)])
def test_an_ignored_hangup_stays_ignored_and_an_ignored_interrupt_does_not(number: signal.Signals, stops: bool) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        made = server(number)
        with made.capture_signals():
            os.kill(os.getpid(), number)
        assert made.should_exit == stops
    finally:
        signal.signal(number, before)


def test_the_garbage_collector_leaves_out_live_connections_while_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odac.serving.uvicorn_server.spare_what_stays", lambda: None)
    spared: list[bool] = []

    def started() -> None:
        spared.append(collector.spares)
        made.should_exit = True

    made = server()
    monkeypatch.setattr(made, "_on_started", started)
    asyncio.run(made.serve())
    assert spared == [COMPILED]
    assert not collector.spares


@pytest.mark.parametrize(
    ("loop_factory", "further"), [(uvloop.new_event_loop, acceptors.FURTHER), (asyncio.new_event_loop, 0)]
)
def test_a_burst_starts_further_servers_where_the_event_loop_accepts_one_connection_in_a_turn(
    monkeypatch: pytest.MonkeyPatch, loop_factory: Callable[[], asyncio.AbstractEventLoop], further: int
) -> None:
    monkeypatch.setattr(acceptors, "BURST", 1)  # so that no clock decides whether there is one
    monkeypatch.setattr(acceptors, "QUIET", 10**6)
    monkeypatch.setattr("odac.serving.uvicorn_server.spare_what_stays", lambda: None)
    listening = socket.create_server(("127.0.0.1", 0))
    made = server(sockets=[listening])
    adjusted: list[int] = []
    original = acceptors.Acceptors.adjust

    async def adjust(self: acceptors.Acceptors) -> None:
        accepted = self._accepted
        await original(self)
        adjusted.extend([len(self._further)] if accepted else [])
        made.should_exit = bool(adjusted)

    monkeypatch.setattr(acceptors.Acceptors, "adjust", adjust)
    with socket.create_connection(listening.getsockname(), 20), asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(asyncio.wait_for(made.serve(), 60))
    assert adjusted == [further]
