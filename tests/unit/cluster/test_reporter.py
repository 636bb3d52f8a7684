"""What is counted always and logged once per episode."""

from __future__ import annotations

import logging

import pytest

from odac.cluster.reporter import Reporter


@pytest.fixture
def reporter(caplog: pytest.LogCaptureFixture) -> Reporter:
    caplog.set_level(logging.WARNING, "odac.broker")
    return Reporter("redis://h")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_an_outage_is_one_line_at_its_beginning_and_one_at_its_end(
    reporter: Reporter, caplog: pytest.LogCaptureFixture
) -> None:
    reporter.down("connection refused.", 10.0)
    reporter.down("connection refused", 11.0)
    reporter.dropped(3, "not connected")
    reporter.up(12.5)
    reporter.up(13.0)
    began, ended = lines(caplog)
    assert "redis://h: connection refused. Connections stay" in began
    assert "back after 2.5 s" in ended
    assert "3 messages" in ended
    assert (reporter.counters.outages, reporter.counters.dropped) == (1, 3)


def test_one_message_is_not_messages(reporter: Reporter, caplog: pytest.LogCaptureFixture) -> None:
    reporter.lost(1)
    reporter.down("connection refused", 10.0)
    reporter.dropped(1, "not connected")
    reporter.up(12.5)
    lost, _, ended = lines(caplog)
    assert "1 message of another process did not arrive" in lost
    assert "1 message of this process did not reach" in ended


def test_losses_are_one_line_when_they_begin_and_their_sum_when_they_end(
    reporter: Reporter, caplog: pytest.LogCaptureFixture
) -> None:
    for report in (reporter.lost, lambda count: reporter.dropped(count, "its queue is full")):
        report(2)
        report(3)
        assert len(lines(caplog)) == 1
        reporter.interval_ended()
        report(5)
        reporter.interval_ended()
        assert lines(caplog) == []
        reporter.interval_ended()
        (ended,) = lines(caplog)
        assert "10" in ended
    reporter.dropped(0, "a probe")
    assert lines(caplog) == []
    assert (reporter.counters.lost, reporter.counters.dropped) == (10, 10)


def test_garbage_and_too_large_messages_are_logged_once_and_say_what_to_do(
    reporter: Reporter, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        reporter.garbage("c", "not msgpack")
        reporter.too_large(5_000_000, 4_194_304)
    garbage, large = lines(caplog)
    assert "namespace" in garbage
    assert "5000000" in large
    assert (reporter.counters.garbage, reporter.counters.dropped) == (3, 3)
