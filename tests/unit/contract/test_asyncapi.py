"""The document, judged by AsyncAPI's own parser; equal contracts give equal documents."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from odac import History, Odac, SessionOptions
from odac.contract.asyncapi import document, to_json, to_yaml
from odac.contract.model import read
from tests.unit.contract import chess, desk
from tests.unit.test_client_build import CLIENT, missing


def with_rooms() -> Odac:
    app = Odac(secret="x" * 32)
    app.rooms("chat-*", history=History(size=20, ttl=60.0))
    return app


def make(app: Odac = chess.app) -> dict[str, Any]:
    return document(read(app.websocket_routes, app.room_rules), title="Chess", version="1.0.0")


def test_the_security_schemes_name_the_apps_cookie_and_endpoint() -> None:
    app = Odac(secret="x" * 32, prefix="/rt", session=SessionOptions(cookie="shop"))
    app.route.auth.ws("/orders", lambda odac: None)
    contract = read(app.websocket_routes, prefix=app.prefix, cookie=app.auth.sessions.cookie)
    schemes = document(contract, title="Shop", version="1.0.0")["components"]["securitySchemes"]
    assert (schemes["session"]["in"], schemes["session"]["name"]) == ("cookie", "shop")
    assert "__Host-shop" in schemes["session"]["description"]
    assert "GET /rt/token returns one" in schemes["token"]["description"]


def test_every_message_and_call_has_its_place() -> None:
    made = make()
    assert list(made["channels"]) == ["chess_id", "root"]
    assert made["channels"]["chess_id"]["address"] == "/chess/{id}"
    operations = made["operations"]
    assert list(operations) == [
        "chess_id_receive",
        "chess_id_send",
        "chess_id_call_move",
        "chess_id_call_resign",
        "root_receive",
        "root_send",
    ]
    move = operations["chess_id_call_move"]
    assert move["messages"] == [{"$ref": "#/channels/chess_id/messages/call_move"}]
    assert move["reply"]["messages"] == [{"$ref": "#/channels/chess_id/messages/answer_move"}]
    assert move["security"] == [{"$ref": f"#/components/securitySchemes/{name}"} for name in ("session", "token")]
    assert "security" not in operations["root_send"]


def test_messages_without_a_name_are_told_apart() -> None:
    made = make(desk.app)
    messages = made["channels"]["lists"]["messages"]
    assert list(messages) == ["message", "message2"]
    assert (messages["message"]["payload"]["type"], messages["message2"]["payload"]["type"]) == ("array", "object")
    (received,) = made["operations"]["lists_receive"]["messages"]
    (sent,) = made["operations"]["lists_send"]["messages"]
    assert (received["$ref"], sent["$ref"]) == (
        "#/channels/lists/messages/message",
        "#/channels/lists/messages/message2",
    )


def test_unions_within_other_types_and_defaults_in_both_directions() -> None:
    made = make(desk.app)
    reference = "#/components/schemas/"
    assert {name: schema["required"] for name, schema in made["components"]["schemas"].items()} == {
        "Ask": ["kind"],
        "AskOutput": ["kind", "text"],
        "Busy": ["kind", "seconds"],
        "Log": ["kind"],
        "LogOutput": ["kind", "last", "messages", "by_name"],
    }
    sent = made["components"]["schemas"]["LogOutput"]["properties"]
    either = [{"$ref": f"{reference}AskOutput"}, {"$ref": f"{reference}Busy"}]
    assert sent["messages"]["items"] == {"oneOf": either}
    assert sent["by_name"]["additionalProperties"] == {"anyOf": either}
    assert sent["last"]["anyOf"] == [{"oneOf": either}, {"type": "null"}]
    messages = made["channels"]["desk"]["messages"]
    assert list(messages) == [
        "Ask",
        "Busy",
        "AskOutput",
        "LogOutput",
        *(f"{what}_{name}" for name in ("all", "last") for what in ("call", "answer")),
    ]


def test_the_rules_of_rooms_are_an_extension() -> None:
    app = Odac(secret="x" * 32)
    app.rooms("chat-*", history=History(size=20, ttl=60.0))
    assert make(app)["x-odac-rooms"]["chat-*"]["history"]["size"] == 20
    assert "x-odac-rooms" not in make()


def test_it_is_deterministic() -> None:
    assert to_json(make()) == to_json(make())


def test_yaml_and_json_say_the_same() -> None:
    made = make()
    assert yaml.safe_load(to_yaml(made)) == json.loads(to_json(made)) == made


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yes",
        "null",
        "3.0.0",
        "1",
        "a: b",
        "# x",
        "- x",
        "ä\n\t\"'",
        "{}",
        "$ref",
        [],
        {},
        [[1, [2]], [{}]],
        None,
        True,
        1.5,
    ],
)
def test_yaml_of_odd_values(value: Any) -> None:
    assert yaml.safe_load(to_yaml({"key": value, "list": [value, {"a": value}]})) == {
        "key": value,
        "list": [value, {"a": value}],
    }


APPS = {"chess": chess.app, "desk": desk.app, "empty": Odac(secret="x" * 32), "rooms": with_rooms()}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """What AsyncAPI's own parser says of each app's document in each form; starting it takes longer than all of them."""
    node = shutil.which("node")
    if node is None:
        missing("Node")
    if not (CLIENT / "node_modules" / "@asyncapi").is_dir():
        missing("@asyncapi/parser (npm install, in client/)")
    folder = tmp_path_factory.mktemp("documents")
    files = {}
    for name, app in APPS.items():
        for form in (to_yaml, to_json):
            files[name, form.__name__] = folder / f"{name}-{form.__name__}"
            files[name, form.__name__].write_text(form(make(app)), encoding="utf-8")
    (wrong := folder / "wrong").write_text(to_json({**make(), "channels": {"root": {"address": 7}}}), encoding="utf-8")
    command = [str(node), "asyncapi.mjs", *map(str, files.values()), str(wrong)]
    done = subprocess.run(command, cwd=CLIENT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *said, of_wrong = json.loads(done.stdout)
    assert of_wrong, "it accepts everything"
    return dict(zip(files, said, strict=True))


@pytest.mark.parametrize("form", ["to_yaml", "to_json"])
@pytest.mark.parametrize("app", APPS)
def test_asyncapis_own_parser_has_nothing_to_say(app: str, form: str, verdicts: dict[tuple[str, str], Any]) -> None:
    assert verdicts[app, form] == []
