from __future__ import annotations

import hashlib
import re

import pytest

from odac.brokers import redis_scripts
from odac.brokers.redis_scripts import Script

SCRIPTS = {name: each for name, each in vars(redis_scripts).items() if isinstance(each, Script)}


def test_there_are_as_many_as_a_store_has_methods_that_write_or_read_a_log() -> None:
    assert set(SCRIPTS) == {"APPEND", "READ", "ERASE", "REVOKE", "WRITE_RULES"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_has_the_name_that_the_server_gives_it(name: str) -> None:
    script = SCRIPTS[name]
    assert script.name == hashlib.sha1(script.source).hexdigest()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_uses_the_keys_that_it_is_given_and_no_other(name: str) -> None:
    """Redis Cluster runs a script where its keys are; a key that it made up may be elsewhere."""
    text = SCRIPTS[name].source.decode()
    assert set(re.findall(r"KEYS\[(\d+)\]", text)) <= {"1", "2", "3"}
    called = re.findall(r"redis\.call\('(\w+)', *([^,)]+)", text)
    names = {key.strip() for command, key in called if command not in {"TIME", "PUBLISH", "SPUBLISH"}}
    assert names <= {"h", "l", "ch", "KEYS[1]", "KEYS[2]", "KEYS[3]"}
