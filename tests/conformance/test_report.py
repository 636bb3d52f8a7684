from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance.report import PASSED, Summary, Verdict, judge, read, table, write_section


def summary(*verdicts: tuple[str, str, str]) -> Summary:
    return Summary([Verdict(*verdict) for verdict in verdicts], 1.0)


@pytest.mark.parametrize("kind", sorted(PASSED))
def test_what_passes(kind: str) -> None:
    assert judge(summary(("1.1.1", kind, "OK"), ("1.1.2", "OK", kind)), 2) == []


@pytest.mark.parametrize("kind", ["FAILED", "WRONG CODE", "UNCLEAN", "UNIMPLEMENTED", "FAILED BY CLIENT", "anything"])
def test_what_does_not_pass(kind: str) -> None:
    assert judge(summary(("1.1.1", kind, "OK"))) == [f"1.1.1: {kind}, at the close OK"]
    assert judge(summary(("1.1.1", "OK", kind))) == [f"1.1.1: OK, at the close {kind}"]


def test_what_is_known_to_fail_must_fail() -> None:
    verdicts = summary(("7.1.5", "FAILED", "OK"), ("7.1.6", "OK", "OK"))
    assert judge(verdicts, known={"7.1.5"}) == []
    assert judge(verdicts, known={"7.1.5", "7.1.6"}) == ["7.1.6: OK, at the close OK, but known to fail"]


def test_missing_cases_do_not_pass() -> None:
    assert judge(summary()) == ["0 cases were run, not any"]
    assert judge(summary(("1.1.1", "OK", "OK")), 517) == ["1 cases were run, not 517"]


def test_read(tmp_path: Path) -> None:
    found = {"behavior": "OK", "behaviorClose": "UNCLEAN", "duration": 1500}
    (tmp_path / "index.json").write_text(json.dumps({"direct": {"10.1.1": found, "9.1.2": found, "9.1.10": found}}))
    result = read(tmp_path / "index.json", "direct")
    assert [verdict.case for verdict in result.verdicts] == ["9.1.2", "9.1.10", "10.1.1"]
    assert result.seconds == 4.5
    with pytest.raises(KeyError):
        read(tmp_path / "index.json", "asgi")


def test_a_second_run_corrects_the_first() -> None:
    first = summary(("1.1.1", "FAILED", "OK"), ("1.1.2", "OK", "OK"))
    assert first.corrected(summary(("1.1.1", "OK", "OK"))) == Summary(
        summary(("1.1.1", "OK", "OK"), ("1.1.2", "OK", "OK")).verdicts, 2.0
    )


def test_table() -> None:
    text = table(
        summary(
            ("1.1.1", "OK", "OK"),
            ("6.4.1", "NON-STRICT", "OK"),
            ("7.1.6", "INFORMATIONAL", "INFORMATIONAL"),
            ("7.1.7", "OK", "FAILED"),
        )
    )
    assert "| 1 framing | 1 | 1 | 0 | 0 | 0 |" in text
    assert "| 7 close handshake | 2 | 0 | 0 | 1 | 1 |" in text
    assert text.endswith("| **all** | 4 | 1 | 1 | 1 | 1 |")


def test_write_section(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# a\n<!-- direct -->\nold\n<!-- /direct -->\n<!-- asgi -->\nkept\n<!-- /asgi -->\n")
    write_section(page, "direct", "new \\1")
    assert page.read_text() == "# a\n<!-- direct -->\nnew \\1\n<!-- /direct -->\n<!-- asgi -->\nkept\n<!-- /asgi -->\n"
    with pytest.raises(ValueError, match="client"):
        write_section(page, "client", "new")
