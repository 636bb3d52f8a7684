"""What malloc is told, and by whom."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import json, resource
from odac.serving.memory import keep_freed_pages

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        payload = b"x" * (1 << 20)
        frame = b"head" + payload
        del payload, frame
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(json.dumps([faults(), keep_freed_pages(), faults(), faults()]))
"""


def run(**environment: str) -> tuple[int, bool, int]:
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True, text=True)
    first, taken, _, last = json.loads(done.stdout)
    return first, taken, last


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_messages_fetch_no_fresh_pages() -> None:
    before, taken, after = run()
    assert taken
    assert after < before / 10


@pytest.mark.parametrize(
    "environment", [{"MALLOC_ARENA_MAX": "2"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1000000"}]
)
def test_the_environment_has_the_last_word(environment: dict[str, str]) -> None:
    assert run(**environment)[1] is False


def test_what_exists_is_left_out_of_collections() -> None:
    program = """
import gc
from odac.serving.memory import spare_what_stays

class Node: pass
kept = Node(); kept.itself = kept
gone = Node(); gone.itself = gone
del gone
spare_what_stays()
found = {id(each) for each in gc.get_objects()}
print(gc.get_freeze_count() > 1000, id(kept) in found, any(isinstance(each, Node) for each in gc.get_objects()))
later = Node(); later.itself = later
del later
print(gc.collect())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["True", "False", "False", "1"]
