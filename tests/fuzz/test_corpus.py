"""Runs every input that the coverage-guided fuzzer kept, without the fuzzer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_corpus(name: str) -> None:
    inputs = sorted((CORPUS / name).iterdir())
    assert inputs, "an empty corpus tests nothing"
    for path in inputs:
        data = path.read_bytes()
        for length in {len(data), len(data) // 2, 1, 0}:
            TARGETS[name](data[:length])
