"""docs/explanation/architecture.md says what the code does: the walks, the phases of a connection, the order of
imports.
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from odac.close_codes import CloseCode
from odac.errors import ProtocolError
from odac.realtime.connection import Connection
from odac.realtime.phase import Phase
from odac.realtime.policy import Policy
from odac.wire.frames import CLOSE
from tests.unit.lanes.test_direct import Site
from tests.unit.realtime.realtime_fakes import idle, run
from tests.unit.test_docs import ROOT
from tests.unit.test_imports import LAYERS

SOURCE = ROOT / "src" / "odac"
PAGE = (ROOT / "docs" / "explanation" / "architecture.md").read_text()

Step = tuple[str, str, list[str]]
"""A file, a function in it, and the functions that it calls."""


def walks() -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = {}
    for section in PAGE.split("\n## ")[1:]:
        title = section.partition("\n")[0]
        steps = re.findall(r"^\d+\. `([\w/]+\.py)`: `([\w.]+)` calls (.+(?:\n +.+)*)$", section, re.MULTILINE)
        if steps:
            found[title] = [(path, name, re.findall(r"`([\w.]+)`", calls)) for path, name, calls in steps]
    return found


WALKS = walks()


def function(path: str, name: str) -> ast.AST:
    """The function's own code.

    Raises:
        LookupError: it is not in that file.
    """
    body: list[ast.stmt] = ast.parse((SOURCE / path).read_text()).body
    node: ast.AST | None = None
    for part in name.split("."):
        node = next((each for each in body if getattr(each, "name", None) == part), None)
        if node is None:
            raise LookupError(f"{path} has no {name}")
        body = getattr(node, "body", [])
    assert node is not None
    return node


def mentioned(node: ast.AST) -> set[str]:
    """Every name and attribute in a function: what it calls, and what it hands on to be called."""
    found = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
    return found | {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def test_there_are_three_walks() -> None:
    assert [len(steps) for steps in WALKS.values()] == [7, 10, 7]


@pytest.mark.parametrize(
    ("path", "name", "calls"),
    [step for steps in WALKS.values() for step in steps],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_function_of_a_walk_is_there_and_calls_what_its_line_says(path: str, name: str, calls: list[str]) -> None:
    used = mentioned(function(path, name))
    assert [each for each in calls if each.rpartition(".")[2] not in used] == []


def test_what_a_line_calls_exists() -> None:
    """A renamed function must not stay on the page because something else has its name."""
    defined: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                defined.update(f"{node.name}.{each.name}" for each in node.body if hasattr(each, "name"))
                defined.update(
                    f"{node.name}.{each.target.id}"
                    for each in node.body
                    if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
                )
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                defined.add(node.name)
            elif isinstance(node, ast.Assign):
                defined.update(each.id for each in node.targets if isinstance(each, ast.Name))
    named = {each for steps in WALKS.values() for _, _, calls in steps for each in calls}
    assert sorted(named - defined) == []


def test_the_checker_sees_a_call_that_is_not_there() -> None:
    assert "take_share" not in mentioned(function("realtime/outbox.py", "Outbox.flush"))
    with pytest.raises(LookupError):
        function("realtime/outbox.py", "Outbox.settle")


# The phases of a connection

_LINES = PAGE[PAGE.index("| event |") :].partition("\n\n")[0].splitlines()
TABLE = [[cell.strip() for cell in line.strip("|").split("|")] for line in _LINES if "---" not in line]
PHASES = [Phase[name] for name in TABLE[0][1:]]


class Story:
    """A connection over a direct lane, with a close listener that returns when it is told to."""

    def __init__(self, phase: Phase) -> None:
        self.site = Site(loop=asyncio.get_running_loop())
        site = self.site
        site.connection = Connection(site.room.hub, site.lane, Policy("/test", site.limits))
        site.lane.attach(site.connection)
        site.room.hub.population += 1
        self.connection = site.connection
        self.may_end = asyncio.Event()
        self.connection.on("close", self._wait)
        if phase is not Phase.ADMITTING:
            site.room.hub.add(self.connection)
        if phase is Phase.CLOSING:
            self.connection.close()
        elif phase >= Phase.CLOSED:
            site.lane.connection_lost(None)
        if phase is Phase.RELEASED:
            self.may_end.set()

    async def _wait(self) -> None:
        await self.may_end.wait()


def overflow(story: Story) -> None:
    story.site.lane.pause_writing()
    for _ in range(2):
        story.connection.send_binary(bytes(story.site.limits.outgoing_buffer))


def time_out(story: Story) -> None:
    """The timer of the closing handshake aborts the transport, which reports its end."""
    story.site.lane._close_timed_out()
    assert story.site.transport.aborted or story.connection.phase >= Phase.CLOSED
    story.site.lane.connection_lost(None)


EVENTS: dict[str, Callable[[Story], Any]] = {
    "all gates have passed (`Hub.add`)": lambda story: story.site.room.hub.add(story.connection),
    "`Connection.close`": lambda story: story.connection.close(4000),
    "the peer breaks the protocol (`Connection.fail`)": lambda story: story.connection.fail(
        ProtocolError(CloseCode.PROTOCOL_ERROR, "broken")
    ),
    "more waits for a slow reader than its limit allows": overflow,
    "the peer's close frame arrives": lambda story: story.site.arrives((CLOSE, b"\x03\xe8")),
    "the peer answers no ping (`Lane.cut`)": lambda story: story.site.lane.cut(CloseCode.INTERNAL_ERROR, "no answer"),
    "the close timeout has passed": time_out,
    "the transport is gone (`Connection.lost`)": lambda story: story.site.lane.connection_lost(None),
    "the last close listener has returned": lambda story: story.may_end.set(),
}


def test_the_table_has_every_phase_and_every_event() -> None:
    assert list(Phase) == PHASES
    assert [row[0] for row in TABLE[1:]] == list(EVENTS)


@pytest.mark.parametrize(
    ("event", "before", "after"),
    [
        (row[0], phase, Phase[cell])
        for row in TABLE[1:]
        for phase, cell in zip(PHASES, row[1:], strict=True)
        if cell != "—"
    ],
    ids=str,
)
def test_the_table_says_what_an_event_does(event: str, before: Phase, after: Phase) -> None:
    async def test() -> None:
        story = Story(before)
        await idle()
        assert story.connection.phase is before
        EVENTS[event](story)
        await idle()
        assert story.connection.phase is after
        story.may_end.set()
        story.site.close()

    run(test())


# The order of imports


def test_the_drawing_of_the_house_has_its_storeys_in_the_same_order() -> None:
    storeys = re.findall(r"^│ (.+?) │", PAGE, re.MULTILINE)
    assert [set(line.split()) for line in reversed(storeys)] == [set(layer) - {"_speedups"} for layer in LAYERS]
