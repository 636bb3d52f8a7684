"""``odac run --preload``: workers that are forked from a process that has imported the app."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.integration.brokers.servers import Server
from tests.integration.running import DEADLINE, Running, until

pytestmark = pytest.mark.slow

APP = """
import os
from pathlib import Path
from odac import History, Limits, Odac

with Path("imports").open("a") as file:
    file.write(f"{os.getpid()}\\n")

app = Odac(limits=Limits(drain_timeout=2, close_timeout=2))
app.rooms("kept-*", history=History())

@app.route.ws("/talk", token=False)
def talk(odac):
    odac.ws.join("all")
    odac.ws.on("message", odac.ws.to("all").send)
    odac.ws.send([os.getpid(), os.getppid(), odac.ws.id, VERSION])

VERSION = 1
"""

KEPT = """
@app.route.ws("/kept", token=False)
async def kept(odac):
    await odac.ws.join("kept-1")
    odac.ws.send([os.getpid()])
    odac.ws.on("message", odac.ws.to("kept-1").send)
"""

BROKERS = ["local", "redis", "cluster", "nats"]


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def started(folder: Path, source: str = APP, *arguments: str, workers: int = 2, ready: bool = True) -> Running:
    return Running(folder, source, "--preload", "--workers", str(workers), *arguments, ready=ready)


def told(client: ClientConnection) -> list[object]:
    """What a new connection is told: its worker, the worker's parent, the connection's id and the app's version."""
    answer: list[object] = json.loads(client.recv(DEADLINE))
    return answer


def one_of_each(
    running: Running, stack: contextlib.ExitStack, path: str = "/talk"
) -> dict[int, tuple[ClientConnection, list[object]]]:
    """A connection to each of two workers, by its process id."""
    found: dict[int, tuple[ClientConnection, list[object]]] = {}

    def look() -> bool:
        with contextlib.suppress(OSError):
            client = stack.enter_context(running.connect(path))
            answer = told(client)
            assert isinstance(answer[0], int)
            if found.setdefault(answer[0], (client, answer))[0] is not client:
                client.close()
        return len(found) == 2

    until(look, "both workers have a connection")
    return found


def reaches(sender: ClientConnection, receiver: ClientConnection) -> bool:
    """Whether a message of this one arrives at the other soon; a worker may still be subscribing to the room."""
    text = "x" + os.urandom(8).hex()  # not a number, which hexadecimal may be
    sender.send(text)
    with contextlib.suppress(TimeoutError):
        while receiver.recv(1) != text:
            pass
        return True
    return False


def imports(folder: Path) -> int:
    return len((folder / "imports").read_text().splitlines())


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def worker_after(running: Running, stack: contextlib.ExitStack, before: set[int]) -> list[object]:
    """What a connection to a worker that was not there before is told."""
    found: list[list[object]] = []

    def look() -> bool:
        with contextlib.suppress(OSError, ConnectionClosed):
            answer = told(stack.enter_context(running.connect("/talk")))
            if answer[0] not in before:
                found.append(answer)
        return bool(found)

    until(look, "a new worker answers")
    return found[0]


@pytest.mark.parametrize("name", BROKERS)
def test_workers_share_one_import_and_reach_each_other_over_each_broker(
    name: str, tmp_path: Path, servers: Callable[[str], Server], stack: contextlib.ExitStack
) -> None:
    broker = () if name == "local" else ("--broker", servers(name).url)
    source = APP.replace('app.rooms("kept-*", history=History())', "") if name == "nats" else APP + KEPT
    with started(tmp_path, source, *broker) as running:
        both = one_of_each(running, stack)
        assert imports(tmp_path) == 1
        parents = {answer[1] for _, answer in both.values()}
        assert len(parents) == 1
        assert running.pid not in parents
        ids = {answer[2] for _, answer in both.values()}
        assert len(ids) == 2
        (one, _), (other, _) = both.values()
        until(lambda: reaches(one, other), "a worker's message reaches the other's client")
        until(lambda: reaches(other, one), "and back")

        # Killed: replaced by one that is forked from the same import.
        [victim, *_] = both
        os.kill(victim, signal.SIGKILL)
        new = worker_after(running, stack, set(both))
        assert new[1] in parents
        assert imports(tmp_path) == 1
        running.line(f"worker {victim} was ended by SIGKILL and is replaced")
        assert running.stop() == 0
        until(lambda: all(is_gone(int(str(each))) for each in {*both, new[0], *parents}), "no process stays behind")


@pytest.mark.parametrize("name", ["local", "redis"])
def test_what_each_forked_worker_sends_to_a_room_with_history_arrives(
    name: str, tmp_path: Path, servers: Callable[[str], Server], stack: contextlib.ExitStack
) -> None:
    """Both would number their messages under one name if they had drawn it before they were forked."""
    broker = () if name == "local" else ("--broker", servers(name).url)
    with started(tmp_path, APP + KEPT, *broker) as running:
        (one, _), (other, _) = one_of_each(running, stack, "/kept").values()
        for text in ("1", "2"):
            one.send(text)
            assert one.recv(DEADLINE) == other.recv(DEADLINE) == text
        for text in ("3", "4"):
            other.send(text)
            assert one.recv(DEADLINE) == other.recv(DEADLINE) == text


def test_a_single_worker_is_replaced_from_the_template(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    with started(tmp_path, workers=1) as running:
        first = told(stack.enter_context(running.connect("/talk")))
        assert isinstance(first[0], int)
        os.kill(first[0], signal.SIGKILL)
        assert worker_after(running, stack, {first[0]})[1] == first[1]
        assert imports(tmp_path) == 1


def test_sighup_imports_the_app_anew(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    with started(tmp_path) as running:
        both = one_of_each(running, stack)
        # Of another size: Python would use the compiled file if the size and the second of the change were the same.
        (tmp_path / "app.py").write_text(APP.replace("VERSION = 1", "VERSION = 20"))
        running.signal(signal.SIGHUP)
        running.line("rolling restart complete")
        after = one_of_each(running, stack)
        assert not set(both) & set(after)
        assert {answer[3] for _, answer in after.values()} == {20}
        assert imports(tmp_path) == 2
        before = {int(str(answer[1])) for _, answer in both.values()}
        until(lambda: all(map(is_gone, before)), "the first import's process ends with its workers")
        assert running.stop() == 0


def test_sighup_with_an_app_that_cannot_be_imported_changes_nothing(
    tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    with started(tmp_path) as running:
        both = one_of_each(running, stack)
        (tmp_path / "app.py").write_text("raise RuntimeError('broken on purpose')")
        running.signal(signal.SIGHUP)
        running.line("a new worker cannot start, so the old ones keep running: .*broken on purpose")
        assert set(one_of_each(running, stack)) == set(both)
        [victim, *_] = both
        os.kill(victim, signal.SIGKILL)  # the code that was imported is still there
        assert worker_after(running, stack, set(both))[3] == 1


def test_without_the_process_that_they_were_forked_from_workers_stay_and_are_replaced(
    tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    with started(tmp_path) as running:
        both = one_of_each(running, stack)
        template = int(str(next(iter(both.values()))[1][1]))
        os.kill(template, signal.SIGKILL)
        until(lambda: is_gone(template), "the template is gone")
        (one, _), (other, _) = both.values()
        until(lambda: reaches(one, other), "the workers still reach each other")
        [victim, *_] = both
        os.kill(victim, signal.SIGKILL)
        new = worker_after(running, stack, set(both))
        assert new[1] != template
        assert imports(tmp_path) == 2
        assert running.stop() == 0
        until(lambda: all(is_gone(int(str(each))) for each in {*both, new[0], new[1]}), "no process stays behind")


def test_an_import_that_starts_threads_is_not_forked_from(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    source = APP + (
        "import threading\nthreading.Thread(target=threading.Event().wait, name='keeps-busy', daemon=True).start()\n"
    )
    with started(tmp_path, source) as running:
        both = one_of_each(running, stack)
        running.line("importing the app started threads .keeps-busy.")
        assert {answer[1] for _, answer in both.values()} == {running.pid}
        assert imports(tmp_path) == 3
        assert running.stop() == 0


def test_an_app_that_cannot_be_imported_is_reported_once(tmp_path: Path) -> None:
    with started(tmp_path, "raise RuntimeError('broken on purpose')", ready=False) as running:
        assert running.wait() == 1
        assert len([line for line in running.output if "broken on purpose" in line]) <= 2  # the reason, and its line


def test_stopping_does_not_wait_for_the_import(tmp_path: Path) -> None:
    source = "import time\nopen('begun', 'w').close()\ntime.sleep(600)\n"
    with started(tmp_path, source, ready=False) as running:
        until((tmp_path / "begun").exists, "the import has begun")
        assert running.stop() in (0, 1)


def test_sigterm_to_every_process_at_once_drains(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    """As systemd stops a service."""
    with started(tmp_path) as running:
        both = one_of_each(running, stack)
        processes = {int(str(each)) for _, answer in both.values() for each in answer[:2]}
        running.signal(signal.SIGTERM)
        for each in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGTERM)
        for client, _ in both.values():
            with contextlib.suppress(ConnectionClosed):
                while client.recv(DEADLINE):
                    pass
            assert client.close_code == 1001
        assert running.wait() == 0
        until(lambda: all(map(is_gone, processes)), "no process stays behind")
