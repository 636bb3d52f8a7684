from __future__ import annotations

import pickle

import pytest

import odac
from odac import errors
from odac.close_codes import CloseCode


def test_everything_of_the_librarys_own_has_one_root() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.OdacError)
    assert issubclass(errors.BrokerNotConfigured, errors.ConfigurationError)


def test_what_applications_catch_can_be_imported_from_the_top() -> None:
    for name in (
        "OdacError",
        "ConfigurationError",
        "Disconnected",
        "InvalidMessage",
        "BrokerError",
        "BrokerNotConfigured",
    ):
        assert getattr(odac, name) is getattr(errors, name)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (errors.Disconnected(), "the connection was closed with 1006"),
        (errors.Disconnected(4001, "Unauthorized"), "the connection was closed with 4001: Unauthorized"),
        (errors.ProtocolError(CloseCode.MESSAGE_TOO_BIG, "too big"), "1009 too big"),
        (errors.HandshakeError(426, "version 13"), "HTTP 426: version 13"),
        (errors.InvalidMessage("$.x: int"), "$.x: int"),
    ],
)
def test_the_sentence_is_made_of_the_facts(error: errors.OdacError, sentence: str) -> None:
    assert str(error) == sentence


@pytest.mark.parametrize(
    "error",
    [
        errors.Disconnected(4001, "x"),
        errors.ProtocolError(CloseCode.INVALID_DATA, "x"),
        errors.HandshakeError(431, "x", (("Allow", "GET"),)),
        errors.InvalidMessage("x"),
    ],
)
def test_errors_survive_a_process_boundary(error: errors.OdacError) -> None:
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)
