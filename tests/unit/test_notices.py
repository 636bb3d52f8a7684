from __future__ import annotations

import logging
import threading
from dataclasses import fields

import pytest

from odac import notices
from odac.config import Limits
from odac.notices import LINES, WINDOW, harmless, limit_hits, limit_met, mistaken, warn


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(notices, "monotonic", lambda: now[0])
    return now


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "odac"]


def test_a_warning_is_a_warning_of_its_callers_file(caplog: pytest.LogCaptureFixture) -> None:
    warn("kind", "%s is wrong", "this")
    limit_met("rate_limit", "%s is too much", "that")
    assert lines(caplog) == ["this is wrong", "that is too much"]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert {record.pathname for record in caplog.records} == {__file__}


def test_a_flood_is_written_as_a_few_lines_and_counted(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    for number in range(LINES + 500):
        warn("flood", "line %d", number)
    assert len(lines(caplog)) == LINES
    assert lines(caplog)[0] == "line 0"
    assert lines(caplog)[-1] == f"line {LINES - 1} [more like this within 60 s are only counted]"


def test_the_next_line_says_how_many_were_held_back(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    for number in range(LINES + 500):
        warn("flood", "line %d", number)
    clock[0] += WINDOW
    warn("flood", "again")
    warn("flood", "and again")
    assert lines(caplog)[LINES:] == ["again [500 more like this were not logged]", "and again"]


def test_a_mistake_of_the_app_is_an_error_as_seldom(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3 * LINES):
        mistaken("kind", "%s is missing", "the answer")
    assert lines(caplog)[0] == "the answer is missing"
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * LINES


def test_one_kind_does_not_silence_another(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2 * LINES):
        warn("one", "one")
    warn("two", "two")
    assert lines(caplog)[-1] == "two"


def test_limits_are_counted_whether_or_not_a_line_is_written(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3 * LINES):
        limit_met("max_payload", "too big")
    assert limit_hits() == {field.name: 3 * LINES * (field.name == "max_payload") for field in fields(Limits)}
    assert len(lines(caplog)) == LINES


def test_no_count_is_lost_between_threads() -> None:
    def many() -> None:
        for _ in range(2000):
            limit_met("rate_limit", "too fast")

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limit_hits()["rate_limit"] == 8000


def test_a_misspelt_limit_is_no_limit() -> None:
    with pytest.raises(KeyError):
        limit_met("max_paylod", "too big")


def test_one_thing_is_counted_in_the_singular() -> None:
    assert [notices.counted(number, "task") for number in (0, 1, 2)] == ["0 tasks", "1 task", "2 tasks"]


def test_a_peers_text_cannot_play_tricks_on_a_terminal() -> None:
    assert harmless("Zoë\t🦉") == "Zoë\t🦉"
    assert harmless("\x1b]0;title\x07\r\n\x9b2J\u202e") == "\\x1b]0;title\\x07\\r\\n\\x9b2J\\u202e"
