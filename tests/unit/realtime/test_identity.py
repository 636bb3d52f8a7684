from __future__ import annotations

import base64
import os
import re

from odac.realtime.identity import new_id


def test_ids_are_22_characters_of_base64url_and_never_the_same() -> None:
    ids = [new_id() for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert all(re.fullmatch("[A-Za-z0-9_-]{22}", each) for each in ids)


def test_an_id_is_the_only_text_of_its_16_bytes() -> None:
    """A client's signed name holds the bytes, and rooms with history know the client by the text made of them."""
    for each in [new_id() for _ in range(200)]:
        raw = base64.urlsafe_b64decode(each + "==")
        assert len(raw) == 16
        assert base64.urlsafe_b64encode(raw).decode().rstrip("=") == each


def test_two_processes_give_different_ids_after_a_fork() -> None:
    new_id()  # some are drawn, and wait
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, " ".join(new_id() for _ in range(100)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        theirs = set(stream.read().split())
    assert os.waitpid(child, 0)[1] == 0
    assert len(theirs) == 100
    assert not theirs & {new_id() for _ in range(100)}
