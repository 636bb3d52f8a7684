"""Breaks one rule of rooms with history at a time, and checks that a test fails: ``make history-mutants``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]


class Mutant(NamedTuple):
    """One broken rule.

    Args:
        what: was broken.
        file: below ``src/odac``.
        old: the text to replace.
        new: its replacement.
        tests: of which one must fail.
    """

    what: str
    file: str
    old: str
    new: str
    tests: str


MODEL = "tests/integration/brokers/test_history_model.py"
BROKERS = "tests/integration/brokers/test_history.py"
MEMORY = "tests/integration/test_history.py"
BREAKS = "tests/integration/brokers/test_history_breaks.py"
RULES = "tests/integration/brokers/test_history_rules.py"
CUTS = "tests/integration/test_history_client.py"

MUTANTS = [
    Mutant(
        "the header stands behind its message",
        "history/fanout.py",
        """        for entry in run:
            add(LogEntry(rooms, (), entry.message, True))
""",
        """        header = self._hub.delivery.entries.pop() if positioned else None
        for entry in run:
            add(LogEntry(rooms, (), entry.message, True))
        if header is not None:
            add(header)
""",
        f"{MEMORY} {BROKERS} -k memory",
    ),
    Mutant(
        "a client moves its place with the run and not with the message",
        "client/recovery.py",
        "                self._expected.extend([(number, offset) for offset in offsets])",
        "                self._move(number, offsets[-1])",
        f"{CUTS} -k direct-asyncio",
    ),
    Mutant("a page gets its own echo in recovery", "history/entries.py", "self._names is None or", "True or", MEMORY),
    Mutant(
        "the guard of the epoch is gone",
        "brokers/redis_scripts.py",
        "s[1] and s[2] == guard and",
        "s[1] and",
        f"{BROKERS} -k 'failover or restarted'",
    ),
    Mutant(
        "a list that was evicted counts as one that expired",
        "brokers/redis_scripts.py",
        "(len == 0 and now >= tonumber(s[5]))",
        "len == 0",
        f"{BROKERS} -k evicted",
    ),
    Mutant(
        "what was sent again is stored again",
        "brokers/redis_scripts.py",
        "if last then skip =",
        "if false then skip =",
        f"{MODEL} -k redis",
    ),
    Mutant(
        "the same in memory", "history/rings.py", "bodies[max(0, last + 1 - first) :]", "bodies", f"{MODEL} -k memory"
    ),
    Mutant(
        "a number that is missing is passed over",
        "history/follower.py",
        "        if notice.first > feed.top + 1:\n            self.sync(prove=False)",
        "        if notice.first > feed.top + 1 and notice.first < 0:\n            self.sync(prove=False)",
        f"{BROKERS} -k publication",
    ),
    Mutant(
        "what has arrived already is handed out again",
        "history/follower.py",
        "        new = notice.entries[feed.top + 1 - notice.first :]",
        "        new = notice.entries",
        f"{BROKERS} -k 'killed or another_process'",
    ),
    Mutant(
        "the feed reads before its subscription works",
        "history/follower.py",
        "            while self._unproven:\n                await self._prove()",
        "            self._unproven = False",
        "tests/unit/history/test_follower.py",
    ),
    Mutant(
        "tickets are not looked at",
        "history/position.py",
        "        if raw is None:\n            return False\n        head, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]\n        signed",
        "        return True\n        head, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]\n        signed",
        "tests/unit/history/test_position.py",
    ),
    Mutant(
        "a slow reader stays in the fan-out",
        "history/members.py",
        "            self._hub.delivery.loop.call_soon(self._fall_back, connection)",
        "            pass",
        f"{CUTS} -k 'direct-asyncio and stands_still'",
    ),
    Mutant(
        "a page joins the fan-out before it has caught up",
        "history/cursor.py",
        "        if self.at < self.feed.top and connection.outbox.backlog is None:\n            limits",
        "        if self.at < 0 and connection.outbox.backlog is None:\n            limits",
        MEMORY,
    ),
    Mutant(
        "an unkept message overtakes unconfirmed ones",
        "history/appender.py",
        "        line.items.append(call)\n        return True",
        "        return False",
        f"{BROKERS} -k unkept",
    ),
    Mutant(
        "two connections of one client may have one generation",
        "history/visits.py",
        "max(known.generation + 1, time.time_ns())",
        "known.generation + 1",
        f"{BREAKS} -k 'used_twice and another and once'",
    ),
    Mutant(
        "the top of a publisher's last message is not told",
        "publishing/kept.py",
        "            self._appended(channel, done)",
        "            pass",
        f"{BREAKS} -k 'last_message_of_a_publisher and asyncio'",
    ),
    Mutant(
        "a rule that comes back has its earlier era",
        "history/agreement.py",
        "mine = book.continuing(_read(text) or RuleBook())\n                if",
        "mine = book\n                if",
        f"{RULES} -k 'kept_nothing and redis and asyncio and goes'",
    ),
    Mutant(
        "tickets are good under every rule",
        "history/position.py",
        "(epoch or bytes(EPOCH_BYTES)) + era + room",
        "(epoch or bytes(EPOCH_BYTES)) + room",
        f"{RULES} -k 'kept_nothing and redis and asyncio'",
    ),
    Mutant(
        "rules stay in the broker",
        "brokers/redis_scripts.py",
        "redis.call('PEXPIRE', KEYS[1], ARGV[3])",
        "",
        f"{RULES} -k 'asyncio and redis'",
    ),
]


LONGEST = 400
"""Seconds for the tests of one mutant. What takes longer, or fails to run at all, is not caught."""


def caught(mutant: Mutant) -> bool:
    """Whether tests fail: pytest's exit code 1. Any other code proves nothing, and counts as not caught."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source)
        file = source / "odac" / mutant.file
        text = file.read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            raise SystemExit(f"{mutant.what}: {mutant.file} has changed, so this mutant must, too")
        file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        command = f"{sys.executable} -m pytest -q -x -p no:cacheprovider {mutant.tests}"
        done = subprocess.run(
            f"timeout {LONGEST} {command}",
            shell=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(source)},
            capture_output=True,
            check=False,
        )
        if done.returncode not in (0, 1):
            print(f"exit code {done.returncode}:\n{done.stdout.decode()[-2000:]}{done.stderr.decode()[-2000:]}")
        return done.returncode == 1


def main() -> None:
    """Try all mutants."""
    alive = []
    for mutant in MUTANTS:
        found = caught(mutant)
        print(f"{'caught' if found else 'NOT CAUGHT'}: {mutant.what}", flush=True)
        if not found:
            alive.append(mutant.what)
    if alive:
        raise SystemExit(f"{len(alive)} of {len(MUTANTS)} mutants live")


if __name__ == "__main__":
    main()
