"""The mutants of ``make history-mutants`` fit the source: a run of them takes minutes, and would fail late."""

from __future__ import annotations

import pytest

from tests.integration.brokers.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_what_it_changes_is_there_once(mutant: Mutant) -> None:
    assert (ROOT / "src" / "odac" / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1
    assert mutant.new != mutant.old
