from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odac.cluster.channels import Channels
from odac.errors import ConfigurationError

CHANNELS = Channels()
NASTY = [
    "*",
    ">",
    "?",
    "[a]",
    "]",
    ".",
    "a.b",
    " ",
    "{a}",
    "%",
    "%2E",
    "\r\n",
    "\0",
    "\x01user:7",
    "/",
    ":",
    "a b",
    "é",
]


def room_of(channel: str) -> str:
    return unquote(channel.removeprefix("odac.room."), errors="surrogatepass")


@pytest.mark.parametrize("name", NASTY)
def test_no_name_keeps_a_character_that_means_something_to_a_broker(name: str) -> None:
    assert re.fullmatch(r"odac\.room\.[A-Za-z0-9_~%-]+", CHANNELS.room(name))


@settings(deadline=None)
@given(st.text(min_size=1))
def test_every_name_comes_back(name: str) -> None:
    assert room_of(CHANNELS.room(name)) == name


@settings(deadline=None)
@given(st.text(min_size=1), st.text(min_size=1))
def test_different_names_are_different_channels(one: str, other: str) -> None:
    assert (CHANNELS.room(one) == CHANNELS.room(other)) == (one == other)


def test_names_that_look_alike_stay_apart() -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert CHANNELS.room(composed) != CHANNELS.room(decomposed)
    assert CHANNELS.room("Room") != CHANNELS.room("room")


def test_a_lone_surrogate_is_encoded_and_not_an_error() -> None:
    assert room_of(CHANNELS.room("\ud800")) == "\ud800"


def test_the_library_keeps_its_own_channels_apart_from_rooms() -> None:
    own = {CHANNELS.everyone, CHANNELS.control, CHANNELS.inbox(b"x" * 16)}
    assert len(own) == 3
    assert not any(channel.startswith("odac.room.") for channel in own)
    assert not own & {CHANNELS.room(name) for name in ("everyone", "control", "inbox", "../control", ".control")}


def test_a_namespace_keeps_applications_apart() -> None:
    assert Channels("shop").room("a") != Channels("blog").room("a")


@pytest.mark.parametrize("namespace", ["", "a.b", "*", "a" * 33, "é", "a b", "a\n"])
def test_a_namespace_that_could_mean_something_is_refused(namespace: str) -> None:
    with pytest.raises(ConfigurationError, match="namespace"):
        Channels(namespace)
