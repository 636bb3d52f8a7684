"""The results of the Autobahn suite, from its ``index.json``: the tool itself always exits with 0."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = ["SECTIONS", "Summary", "Verdict", "judge", "passes", "read", "table", "write_section"]

SECTIONS: Final = {
    1: "framing",
    2: "pings and pongs",
    3: "reserved bits",
    4: "opcodes",
    5: "fragmentation",
    6: "UTF-8",
    7: "close handshake",
    9: "limits and performance",
    10: "fragmented sending",
    12: "compression of various messages",
    13: "compression with various parameters",
}

PASSED: Final = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})
"""NON-STRICT: the result is right, but came later than it could. INFORMATIONAL: the case has no right result."""


class Verdict(NamedTuple):
    """One case.

    Args:
        case: such as ``7.1.5``.
        behavior: the result for the messages.
        behavior_close: the result for the end of the connection.
    """

    case: str
    behavior: str
    behavior_close: str


class Summary(NamedTuple):
    """One run.

    Args:
        verdicts: in the order of the cases.
        seconds: how long the cases took, by the suite's own clock.
    """

    verdicts: list[Verdict]
    seconds: float

    def corrected(self, again: Summary) -> Summary:
        """This run, with the verdicts of another run for the same cases."""
        newer = {verdict.case: verdict for verdict in again.verdicts}
        return Summary([newer.get(verdict.case, verdict) for verdict in self.verdicts], self.seconds + again.seconds)


def read(index: Path, agent: str) -> Summary:
    """Read one agent's results.

    Raises:
        KeyError: the suite has not tested this agent.
    """
    cases: dict[str, dict[str, Any]] = json.loads(index.read_text())[agent]
    verdicts = [Verdict(case, found["behavior"], found["behaviorClose"]) for case, found in cases.items()]
    verdicts.sort(key=lambda verdict: [int(part) for part in verdict.case.split(".")])
    return Summary(verdicts, sum(found["duration"] for found in cases.values()) / 1000)


def judge(summary: Summary, expected: int | None = None, known: Collection[str] = ()) -> list[str]:
    """Return what is wrong, a line for each case; nothing when all is well.

    Args:
        summary: of one run.
        expected: how many cases there must be; None: any number.
        known: cases that a library below fails; one of them that passes is wrong too, so that the list stays true.
    """
    wrong = []
    for verdict in summary.verdicts:
        case, behavior, behavior_close = verdict
        if passes(verdict) is (case in known):
            wrong.append(f"{case}: {behavior}, at the close {behavior_close}{', but known to fail' * (case in known)}")
    if not summary.verdicts or expected not in (None, len(summary.verdicts)):
        wrong.append(f"{len(summary.verdicts)} cases were run, not {expected or 'any'}")
    return wrong


def passes(verdict: Verdict) -> bool:
    """Whether both the messages and the close were right."""
    return verdict.behavior in PASSED and verdict.behavior_close in PASSED


def table(summary: Summary) -> str:
    """Return a Markdown table with a row for each section of the suite."""
    rows = [
        "| section | cases | OK | non-strict | informational | failed |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    total: Counter[str] = Counter()
    for number, name in SECTIONS.items():
        section = [verdict for verdict in summary.verdicts if verdict.case.split(".")[0] == str(number)]
        if section:
            counts = Counter(map(_kind, section))
            total += counts
            rows.append(_row(f"{number} {name}", counts))
    rows.append(_row("**all**", total))
    return "\n".join(rows)


def _kind(verdict: Verdict) -> str:
    return verdict.behavior if passes(verdict) else "failed"


def _row(name: str, counts: Counter[str]) -> str:
    cells = [sum(counts.values()), *(counts[kind] for kind in ("OK", "NON-STRICT", "INFORMATIONAL", "failed"))]
    return f"| {name} | " + " | ".join(map(str, cells)) + " |"


def write_section(page: Path, name: str, text: str) -> None:
    """Replace the text between ``<!-- name -->`` and ``<!-- /name -->`` on a page.

    Raises:
        ValueError: the page has no such section.
    """
    old = page.read_text()
    pattern = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)", re.DOTALL)
    new, count = pattern.subn(lambda match: f"{match[1]}{text}\n{match[2]}", old)
    if count != 1:
        raise ValueError(f"{page} must have one section <!-- {name} --> … <!-- /{name} -->")
    page.write_text(new)
