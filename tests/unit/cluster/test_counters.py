from __future__ import annotations

from odac.cluster.counters import BusCounters
from tests.unit.test_docs import ROOT


def test_every_counter_begins_at_zero_and_is_documented() -> None:
    names = BusCounters().as_dict()
    assert set(names.values()) == {0}
    assert BusCounters(lost=3).as_dict()["lost"] == 3
    described = BusCounters.__doc__ or ""
    assert [name for name in names if f"{name}: " not in described] == []
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md"))
    assert [name for name in ("lost", "dropped") if f"broker_{name}" not in pages] == []
