from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import odac
from odac import History, Limits, Odac, Presence, RateLimit, SessionOptions
from odac.spelling import check_names, did_you_mean, nearest
from odac.testing import AsyncTestClient, TestClient

SECRET = "x" * 32


def make() -> Odac:
    return Odac(secret=SECRET)


MISTAKES: dict[str, tuple[Callable[..., Any], str, str]] = {
    "Odac": (Odac, "secrt", "secret"),
    "Odac of Flask-SocketIO": (Odac, "cors_allowed_origins", "origins"),
    "Odac of Flask": (Odac, "secret_key", "secret"),
    "Odac in camel case": (Odac, "publishKeys", "publish_keys"),
    "rooms": (lambda **given: make().rooms("chat-*", **given), "histroy", "history"),
    "users": (lambda **given: make().users(history=History(), **given), "reply", "replay"),
    "Limits": (Limits, "outgoing_bufer", "outgoing_buffer"),
    "Limits in camel case": (Limits, "maxPayload", "max_payload"),
    "RateLimit": (lambda **given: RateLimit(5, **given), "windw", "window"),
    "SessionOptions": (SessionOptions, "max_ages", "max_age"),
    "History": (History, "sise", "size"),
    "Presence": (Presence, "grase", "grace"),
    "connect": (lambda **given: odac.connect("ws://localhost/chat", **given), "autoReconnect", "auto_reconnect"),
    "Publisher": (lambda **given: odac.Publisher("redis://localhost", **given), "time_out", "timeout"),
    "AsyncPublisher": (lambda **given: odac.AsyncPublisher("redis://localhost", **given), "time_out", "timeout"),
    "TestClient": (lambda **given: TestClient(make(), **given), "header", "headers"),
    "AsyncTestClient": (lambda **given: AsyncTestClient(make(), **given), "header", "headers"),
    "TestClient.connect": (lambda **given: TestClient(make()).connect("/", **given), "usr", "user"),
    "AsyncTestClient.connect": (lambda **given: AsyncTestClient(make()).connect("/", **given), "usr", "user"),
    "run": (lambda **given: _run(**given), "prot", "port"),
}


def _run(**given: Any) -> None:
    from odac.server import run

    run(make(), **given)


@pytest.mark.parametrize("case", MISTAKES)
def test_a_misspelt_argument_is_answered_with_the_one_that_was_meant(case: str) -> None:
    function, wrong, right = MISTAKES[case]
    with pytest.raises(TypeError, match=rf"{case.split()[0]}\(\) .*{wrong}.*did you mean '{right}'\?"):
        function(**{wrong: 1})


def test_an_argument_that_is_like_no_other_is_answered_with_all() -> None:
    with pytest.raises(TypeError, match=r"^History\(\) got .* 'zzz': it takes size, ttl, max_bytes$"):
        History(zzz=1)  # type: ignore[call-arg]


def test_too_many_positional_arguments_are_answered_with_an_example() -> None:
    with pytest.raises(TypeError, match=r"^Limits\(\) takes no positional arguments: .* Limits\(max_payload=…, "):
        Limits(1024)  # type: ignore[call-arg]
    with pytest.raises(
        TypeError, match=r"^Odac\(\) takes 1 positional argument: .* Odac\(http=…, prefix=…, broker=…\)"
    ):
        Odac(SECRET, None)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^History\(\) takes 3 positional arguments: not 4$"):
        History(5, 60.0, 4096, 1)  # type: ignore[call-arg]


def test_a_misspelt_option_of_a_route() -> None:
    with pytest.raises(odac.ConfigurationError, match=r"unknown option tokn: did you mean 'token'\?"):
        make().route.ws("/chat", print, tokn=False)  # type: ignore[call-overload]
    with pytest.raises(odac.ConfigurationError, match=r"'/chat': unknown option dependencies: it takes token, "):
        make().route.ws("/chat", dependencies=[])  # type: ignore[call-overload]


def test_what_is_checked_stays_what_it_is() -> None:
    assert list(inspect.signature(Odac).parameters)[:3] == ["secret", "http", "prefix"]
    assert list(inspect.signature(History).parameters) == ["size", "ttl", "max_bytes"]
    assert inspect.signature(odac.connect).parameters["token"].default is True
    history = History(5)
    assert pickle.loads(pickle.dumps(history)) == copy.deepcopy(history) == replace(history, size=5) == history


def test_what_the_function_itself_raises_is_left_alone() -> None:
    @check_names
    def function(value: int) -> None:
        raise TypeError("its own")

    with pytest.raises(TypeError, match=r"^its own$"):
        function(1)
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'value'"):
        function()  # type: ignore[call-arg]


def test_the_nearest_name() -> None:
    assert nearest("brokr", ["secret", "broker"]) == "broker"
    assert nearest("message_queue", ["secret", "broker"]) is None
    assert nearest("the_secret_one", ["one", "secret"]) == "secret", "three letters are in too many words"
    assert did_you_mean("x", ["a", "b"]) == "it takes a, b"
