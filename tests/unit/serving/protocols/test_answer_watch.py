from __future__ import annotations

from typing import Any

import pytest

from odac.config import Limits
from odac.serving.protocols.answer_watch import RATE, AnswerWatch


class Held:
    """A connection whose transport holds some bytes of an answer."""

    def __init__(self, held: int) -> None:
        self.held = held
        self.taken = 0
        self.aborted = False
        self.watched: set[Any] = set()
        self.transport: Any = self
        self.reception: Any = self
        self.deadlines: Any = self.watched
        self.limits = Limits(handshake_timeout=2)

    def get_write_buffer_size(self) -> int:
        return self.held

    def abort(self) -> None:
        self.aborted = True


def watched(held: int) -> tuple[Any, AnswerWatch]:
    connection: Any = Held(held)
    watch = AnswerWatch(connection)
    watch.watch()
    return connection, watch


def test_an_answer_that_has_left_is_not_watched() -> None:
    connection, watch = watched(0)
    assert connection.watched == set()
    assert not watch.is_watched


@pytest.mark.parametrize(("gone", "cut"), [(0, True), (2 * RATE - 1, True), (2 * RATE, False)])
def test_a_client_must_take_some_of_it_in_each_period(gone: int, cut: bool) -> None:
    connection, watch = watched(100_000)
    connection.held -= gone
    watch.expire()
    assert connection.aborted == cut
    assert watch.is_watched != cut


def test_an_app_that_goes_on_writing_is_no_sign_of_a_slow_client() -> None:
    connection, watch = watched(100_000)
    connection.taken = 1
    watch.expire()
    assert not connection.aborted
    assert connection.taken == 0
    watch.forget()
    assert connection.watched == set()
