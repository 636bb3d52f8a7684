from __future__ import annotations

import sys
from typing import Any

import pytest

from odac import Odac
from odac.realtime.listeners import fit
from odac.serving.loading import load_and_check
from odac.serving.options import ServeOptions
from odac.signatures import signature_of
from odac.testing import TestClient

SECRET = "a secret for the tests, and a long one"

ANNOTATED = """
async def handler(odac: Context) -> None:
    odac.ws.on("message", lambda message, *, suffix="!": odac.ws.send(message + suffix))

class Handler:
    def __init__(self, odac: Context) -> None:
        odac.ws.on("message", self.on_message)

def listener(message: Say, *, suffix: str = "!") -> Sent:
    return message + suffix

async def asgi_app(scope: Scope, receive: Receive, send: Send) -> None: ...

async def answer(odac: Context, name: str) -> str:
    return name
"""
"""Functions of an application that imports the names of its annotations only below ``if TYPE_CHECKING``."""


def test_a_signature_tells_names_and_defaults() -> None:
    parameters = signature_of(lambda message, *, suffix="!": message + suffix).parameters
    assert [(each.name, each.default) for each in parameters.values()][1] == ("suffix", "!")
    with pytest.raises(TypeError):
        signature_of(7)  # type: ignore[arg-type]


@pytest.fixture
def annotated() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "annotated"}
    exec(compile(ANNOTATED, "annotated.py", "exec", dont_inherit=True), names)
    return names


not_evaluated = pytest.mark.skipif(
    sys.version_info < (3, 14),
    reason="not for this one: before Python 3.14, annotations are evaluated where a function is defined",
)


@not_evaluated
def test_a_handler_may_name_types_that_are_there_for_type_checkers_only(annotated: dict[str, Any]) -> None:
    app = Odac(SECRET)
    app.route.ws("/function", token=False)(annotated["handler"])
    app.route.ws("/class", token=False)(annotated["Handler"])
    with TestClient(app) as client, client.connect("/function") as ws:
        ws.send("hello")
        assert ws.receive() == "hello!"


@not_evaluated
def test_so_may_a_listener_and_an_asgi_app(annotated: dict[str, Any]) -> None:
    assert fit(annotated["listener"], 2)("hello", 7) == "hello!"
    app = annotated["asgi_app"]
    assert load_and_check(app, ServeOptions())[0] is app
    assert Odac(SECRET, http=app)
