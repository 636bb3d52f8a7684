"""Room names and paths chosen to be mistaken for others, or to take long."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from odac.routing.router import Router
from tests.hostile import site
from tests.hostile.links import Link, connect_all, link, pump
from tests.hostile.peers import CLOSE, TEXT, frame
from tests.hostile.processes import ServerProcess, needs_proc, serving

REFUSED_NAMES = [
    "",
    "\0",
    "a\0b",
    "a\r\nb",
    "\n",
    "\t",
    "\x01user:7",
    "\x01session:x",
    "\x1e",
    "\x7f",
    "\x80",
    "\x9f",
    "a\x85b",
    "x" * 201,
    "é" * 101,
]

NAMES = [
    "*",
    "**",
    "a*",
    ">",
    "a.>",
    "a.*",
    "?",
    "a?",
    "[a-z]",
    "[a]",
    ".",
    "..",
    "a.",
    ".a",
    "a.b",
    "a",
    "A",
    "aa",
    "b",
    "a b",
    " a",
    "a ",
    " ",
    "a/b",
    "a\\b",
    "a%00",
    "%2A",
    "\N{LATIN SMALL LETTER E WITH ACUTE}",  # NFC
    "e\N{COMBINING ACUTE ACCENT}",  # NFD
    "\N{KELVIN SIGN}",
    "K",
    "\N{LATIN SMALL LETTER LONG S}",
    "s",
    "ß",
    "ss",
    "\N{ZERO WIDTH SPACE}a",
    "a\N{RIGHT-TO-LEFT OVERRIDE}",
    "\N{LINE SEPARATOR}",
    "\N{NO-BREAK SPACE}",
    "\N{FULLWIDTH ASTERISK}",
    "user:7",
    "session:x",
    "odac",
    "odac.all",
    "odac:room:a",
    "__proto__",
    "constructor",
    "None",
    "null",
    "0",
    "00",
    "-1",
    "$SYS.>",
    "_INBOX.a",
    "\U0010ffff",
    "x" * 200,
    "x" * 199,
    "'; DROP TABLE rooms; --",
    "{a}",
    "<a>",
]


def say(each: Link, *message: Any) -> None:
    each.send(frame(TEXT, json.dumps(message).encode()))


def answer(each: Link) -> Any:
    ((opcode, payload),) = each.next("an answer")
    assert opcode == TEXT
    return json.loads(payload)


@needs_proc
@pytest.mark.parametrize("kind", ["run", "asgi"])
def test_no_room_is_mistaken_for_another(kind: str) -> None:
    """Everybody is in one room: each gets what is sent to it, and nothing else."""
    assert len(set(NAMES)) == len(NAMES)
    with serving(kind, rate_limit=None) as server:
        links = connect_all(server.port, ["/names"] * len(NAMES))
        for each, name in zip(links, NAMES, strict=True):
            say(each, "join", name)
            assert answer(each) == {"did": "join"}, name
        sender = link(server.port, "/names")
        for name in NAMES:
            say(sender, "to", name, f"for {name}")
            assert answer(sender) == {"did": "to"}
        for name in REFUSED_NAMES:
            for what in ("join", "leave", "to", "within"):
                say(sender, what, "a" if what == "within" else name, name, "x")
                assert "refused" in answer(sender), (what, name)
        # Rooms of a user and of a session are reached by nobody's room name.
        say(sender, "to", "nobody is here", "x")
        assert answer(sender) == {"did": "to"}
        sender.close()
        received: dict[str, list[Any]] = {name: [] for name in NAMES}

        def collected() -> bool:
            for each, name in zip(links, NAMES, strict=True):
                received[name] += answer_texts(each)
            return all(received.values())

        pump(links, collected, "everybody gets something")
        for each in links:
            say(each, "leave", "b")
        pump(links, collected, "all that was on the way")
        assert {name: found[:1] for name, found in received.items()} == {name: [f"for {name}"] for name in NAMES}
        assert all(len(found) == 1 for found in received.values())


def answer_texts(each: Link) -> list[str]:
    return [
        payload.decode() for opcode, payload in each.frames() if opcode == TEXT and not payload.startswith(b'{"did"')
    ]


SIZE = 8_000
PATHS = {
    "slashes": "/" * SIZE,
    "dots": "/" + "." * SIZE,
    "up": "/.." * (SIZE // 3),
    "percent": "/%2F" * (SIZE // 4),
    "nul": "/%00" * (SIZE // 4),
    "line ends": "/room/" + "%0D%0A" * (SIZE // 6),
    "not UTF-8": "/room/" + "%FF" * (SIZE // 3),
    "over-long UTF-8": "/room/" + "%C0%AF" * (SIZE // 6),
    "half escapes": "/room/" + "%" * SIZE,
    "one long name": "/room/" + "a" * SIZE,
    "file of dots": "/file/" + "." * SIZE + "/",
    "file without a dot": "/file/" + "a" * SIZE,
    "file with a dot at the end": "/file/" + "a" * SIZE + ".",
    "dashes": "/two/" + "-" * SIZE,
    "dashes and a slash": "/two/" + "-" * SIZE + "/",
    "dashes with names": "/two/" + "a-" * (SIZE // 2),
    "dashes before one dot": "/two/" + "-" * SIZE + "./",
    "deep": "/deep/" + "end/" * (SIZE // 4) + "x",
    "deep slashes": "/deep/" + "/" * SIZE + "end",
    "deep with line end": "/deep/" + "a" * SIZE + "%0A/end",
    "digits": "/number/" + "9" * SIZE,
    "digits twice": "/number/" + "9" * (SIZE // 2) + "/" + "9" * (SIZE // 2) + "x",
    "fraction": "/number/1/" + "9" * (SIZE // 2) + "." + "9" * (SIZE // 2) + ".",
    "any": "/a/x/" + "x/" * (SIZE // 2),
    "query": "/room/a?" + "a=1&" * (SIZE // 4),
    "query of plus signs": "/room/a?" + "+" * SIZE,
    "semicolons": "/room/" + ";" * SIZE,
    "matrix": "/room/a;" + "b=c;" * (SIZE // 4),
}


def decoded(path: str) -> str:
    from urllib.parse import unquote

    return unquote(path.partition("?")[0])


def quickest(router: Router, path: str) -> float:
    """CPU seconds that finding a route takes, at best of some attempts: what it takes when nothing else runs."""
    best = 1.0
    for _ in range(5):
        before = time.process_time()
        router.match(path)
        best = min(best, time.process_time() - before)
    return best


@pytest.mark.parametrize("name", PATHS)
def test_a_hostile_path_is_routed_or_refused_within_a_millisecond(name: str) -> None:
    spent = quickest(site.app._router, decoded(PATHS[name]))
    print(f"{spent * 1e6:.0f} µs")
    assert spent < 0.001


@needs_proc
@pytest.mark.parametrize("kind", ["run", "asgi"])
def test_a_live_server_takes_hostile_paths(kind: str) -> None:
    """Each gets a status; the whole handshake costs a few milliseconds of CPU time at most."""
    with serving(kind) as server:
        for name, path in PATHS.items():
            before = server.cpu
            for _ in range(5):
                status = status_of(server, path)
                assert status in (101, 403, 404, 400, 414), (name, status)
            spent = (server.cpu - before) / 5
            assert spent < 0.02, (name, spent)


def status_of(server: ServerProcess, path: str) -> int:
    each = link(server.port, path)
    try:
        return each.status
    finally:
        each.close()


@needs_proc
def test_path_parameters_arrive_as_they_were_sent() -> None:
    with serving("run") as server:
        for path, expected in [
            ("/two/a-b-c.d.e", 4003),
            ("/file/a.b.c", 4002),
            ("/deep/a/b/end/end", 4001),
            ("/number/7/1.5", 4002),
        ]:
            each = link(server.port, path)
            assert each.status == 101, path
            assert each.end().code == expected
            each.close()
        assert CLOSE == 8
