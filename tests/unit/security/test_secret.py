from __future__ import annotations

import logging

import pytest

from odac.errors import ConfigurationError
from odac.security import secret as module
from odac.security.secret import Secrets
from tests.ids import stable

LONG = "correct horse battery staple, and more of it"


def test_a_secret_makes_the_same_keys_everywhere() -> None:
    assert Secrets(LONG).keys("token") == Secrets(LONG.encode()).keys("token") == Secrets([LONG]).keys("token")


def test_each_purpose_and_each_secret_has_keys_of_its_own() -> None:
    keys = {*Secrets(LONG).keys("token"), *Secrets(LONG).keys("session"), *Secrets(LONG + "!").keys("token")}
    assert len(keys) == 3
    assert LONG.encode() not in keys


def test_of_several_the_first_comes_first() -> None:
    assert Secrets(["a" * 32, "b" * 32]).keys("token") == (
        *Secrets("a" * 32).keys("token"),
        *Secrets("b" * 32).keys("token"),
    )


def test_the_environment_is_the_default() -> None:
    environ = {"ODAC_SECRET": f"{'a' * 32}, {'b' * 32}"}
    assert Secrets(environ=environ).keys("token") == Secrets(["a" * 32, "b" * 32]).keys("token")
    assert not Secrets(environ=environ).is_random


def test_workers_share_the_random_one_that_was_made_for_them() -> None:
    environ = {"ODAC_WORKERS_SECRET": "w" * 43, "ODAC_SECRET": " "}
    assert Secrets(environ=environ).keys("token") == Secrets("w" * 43).keys("token")
    assert Secrets(environ=environ).is_random
    assert Secrets(environ={**environ, "ODAC_SECRET": "b" * 32}).keys("token") == Secrets("b" * 32).keys("token")


def test_what_is_given_goes_before_the_environment() -> None:
    assert Secrets(LONG, environ={"ODAC_SECRET": "b" * 32}).keys("token") == Secrets(LONG).keys("token")


@pytest.mark.parametrize("environ", [{}, {"ODAC_SECRET": ""}, {"ODAC_SECRET": " , "}], ids=["unset", "empty", "blank"])
def test_without_one_a_random_one_is_made_and_a_warning_logged_once(
    environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    module._random_secret.cache_clear()
    with caplog.at_level(logging.DEBUG):
        first, second = Secrets(environ=environ), Secrets(environ=environ)
    assert first.is_random
    assert first.keys("token") == second.keys("token")
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING
    assert "end with this process" in caplog.text
    assert "secrets.token_urlsafe(32)" in caplog.text
    module._random_secret.cache_clear()
    assert Secrets(environ=environ).keys("token") != first.keys("token")


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        ("", "0 bytes"),
        ("hunter2", "7 bytes"),
        (["a" * 32, "short"], "5 bytes"),
        ([], "empty list"),
        (12345678901234567890, "not int"),
        ([None], "not NoneType"),
        (object(), "not object"),
    ],
    ids=stable,
)
def test_what_is_no_secret_is_refused_with_how_to_make_one(secret: object, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        Secrets(secret)  # type: ignore[arg-type]
    assert "secrets.token_urlsafe(32)" in str(caught.value)


def test_a_short_secret_in_the_environment_names_the_variable() -> None:
    with pytest.raises(ConfigurationError, match=r"\$ODAC_SECRET has 7 bytes"):
        Secrets(environ={"ODAC_SECRET": "hunter2"})


def test_one_of_medium_length_is_taken_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    Secrets("sixteen letters.")
    assert "32 random ones are advised" in caplog.text
    assert "sixteen letters" not in caplog.text


def test_the_repr_and_the_errors_show_nothing_of_it() -> None:
    assert repr(Secrets([LONG, LONG])) == "<Secrets: 2>"
    with pytest.raises(ConfigurationError) as caught:
        Secrets("hunter2")
    assert "hunter2" not in str(caught.value)
