from __future__ import annotations

import builtins
from typing import Any

import pytest

from odac.serving import terminal


@pytest.mark.parametrize(("started_in_one", "gone"), [(True, True), (False, False)])
def test_a_terminal_that_cannot_be_opened_is_gone_if_there_was_one(
    monkeypatch: pytest.MonkeyPatch, started_in_one: bool, gone: bool
) -> None:
    def fails(*_: Any) -> None:
        raise OSError("no such device")

    monkeypatch.setattr(builtins, "open", fails)
    monkeypatch.setattr(terminal, "_was_terminal", started_in_one)
    assert terminal.terminal_is_gone() == gone


def test_a_terminal_that_can_be_opened_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Opened:
        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(builtins, "open", lambda *_: Opened())
    monkeypatch.setattr(terminal, "_was_terminal", True)
    assert not terminal.terminal_is_gone()
