"""The module, judged by mypy; and used against the app."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from odac import Odac
from odac.contract.model import read
from odac.contract.python import module
from tests.unit.contract import chess, desk

USE = """
from api import ChessId, MovedData, Root


async def use() -> None:
    async with ChessId("ws://localhost", 7) as ws:
        ws.send({"type": "say", "text": "hello"})
        moved: MovedData = await ws.move({"to": "e4", "pieces": []}, timeout=5, retry=True)
        print(moved["to"], await ws.resign())
        async for message in ws:
            if "theText" in message:
                print(message)
    async with Root("ws://localhost", auto_reconnect=False) as root:
        root.send(7)

    ws.send({"type": "say"})  # error
    ws.send({"type": "other", "on": True})  # error
    ws.send("text")  # error
    await ws.move({"to": 4})  # error
    await ws.mvoe({"to": "e4"})  # error
    await ws.resign(True)  # error
    number: int = await ws.move({"to": "e4"})  # error
    ChessId("ws://localhost")  # error
    ChessId("ws://localhost", "seven")  # error
"""


USE_DESK = """
from api import AskOutputData, BusyData, Desk, Lists


async def use() -> None:
    async with Desk("ws://localhost") as ws:
        ws.send({"kind": "ask"})
        message = await ws.receive()
        if message["kind"] == "ask":
            print(message["text"].upper())
        else:
            print(message["messages"][0]["kind"], message["by_name"].keys())
            if message["last"] is not None and message["last"]["kind"] == "busy":
                print(message["last"]["seconds"])
        found: dict[str, AskOutputData | BusyData] = await ws.all([{"kind": "ask"}, {"kind": "busy", "seconds": 1}])
        last = await ws.last({"kind": "log", "by_name": {"ada": {"kind": "ask"}}})
        print(found, last and last["kind"])
    async with Lists("ws://localhost") as lists:
        lists.send([{"kind": "busy", "seconds": 1}])
        print({name: message["kind"] for name, message in (await lists.receive()).items()})

    ws.send({"text": "hello"})  # error
    ws.send({"kind": "log"})  # error
    await ws.all([{"text": "hello"}])  # error
    await ws.last({"kind": "log", "last": {"seconds": 1}})  # error
    lists.send({"kind": "ask"})  # error
"""


@pytest.mark.parametrize(("app", "use"), [(chess.app, USE), (desk.app, USE_DESK)], ids=["chess", "desk"])
def test_mypy_takes_right_code_and_refuses_wrong_code(app: Odac, use: str, tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "api.py").write_text(
        module(read(app.websocket_routes), command="odac client chess:app"), encoding="utf-8"
    )
    (tmp_path / "use.py").write_text(use, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "use.py", "api.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    output = done.stdout + done.stderr
    found = {int(number) for number in re.findall(r"use\.py:(\d+): error", output)}
    assert "api.py:" not in output, output
    assert found == {number for number, line in enumerate(use.splitlines(), 1) if line.endswith("# error")}, output


def test_an_app_without_routes_gives_a_module() -> None:
    compile(module(read(Odac(secret="x" * 32).websocket_routes), command="odac client empty:app"), "api.py", "exec")


def test_a_class_has_no_name_of_a_definition_or_an_import() -> None:
    class Moved(msgspec.Struct):
        to: str

    app = Odac(secret="x" * 32)
    for path in ("/moved/data", "/sent", "/any", "/other"):
        app.route.ws(path, lambda odac: None, message=Moved)
    made = module(read(app.websocket_routes), command="odac client x:app")
    assert re.findall(r"^class (\w+)", made, re.MULTILINE) == ["MovedData", "MovedData_", "Sent_", "Any_", "Other"]
    assert '"MovedData_", "Sent_", "Any_", "Other", "MovedData"]' in made
    assert "def send(self, data: MovedData) -> Sent:" in made


def test_names_that_are_none_in_python() -> None:
    app = Odac(secret="x" * 32)
    route = app.route.ws("/class/{id}")
    for name in ("send", "class", "two words", "__init__", "1"):
        route.answer(name)(lambda odac: None)
    made = module(read(app.websocket_routes), command="odac client x:app")
    compile(made, "api.py", "exec")
    assert re.findall(r"async def (call_\w+|two_words)\(", made) == [
        "call_send",
        "call_class",
        "two_words",
        "call___init__",
        "call_1",
    ]
