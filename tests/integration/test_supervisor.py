"""The process that supervises the workers, when they fail, when it fails, and when signals come at a bad time."""

from __future__ import annotations

import contextlib
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
from odac import Limits, Odac

app = Odac(limits=Limits(drain_timeout=2, close_timeout=2))

@app.route.ws("/talk", token=False)
def talk(odac):
    odac.ws.send(os.getpid())
"""


def workers_of(running: Running) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()]


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    """Closes the clients of a test."""
    with contextlib.ExitStack() as stack:
        yield stack


def one_of_each(running: Running, stack: contextlib.ExitStack) -> dict[int, ClientConnection]:
    """A connection to each of two workers, by its process id."""
    found: dict[int, ClientConnection] = {}

    def look() -> bool:
        client = stack.enter_context(running.connect("/talk"))
        if found.setdefault(int(client.recv(DEADLINE)), client) is not client:
            client.close()
        return len(found) == 2

    until(look, "both workers have a connection")
    return found


def code_of(client: ClientConnection) -> int | None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            client.recv(DEADLINE)
    return client.close_code


def is_closed(client: ClientConnection) -> bool:
    try:
        client.recv(0)
    except ConnectionClosed:
        return True
    except TimeoutError:
        pass
    return False


Start = Callable[..., Running]


class Terminal:
    """A pseudo-terminal that a server is started in, as its controlling one."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._ours, self._theirs = os.openpty()
        stack.callback(os.close, self._theirs)
        stack.callback(os.close, self._ours)
        # The first terminal that the leader of a session opens becomes its own.
        self.code = f"import os; os.dup2(os.open({os.ttyname(self._theirs)!r}, os.O_RDWR), 0)"

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def close(self) -> None:
        """Close its window. The number of the closed end is used again, so that the fixture may close it as well."""
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, self._ours)
        os.close(nothing)


ALL = ["local", "redis", "cluster", "nats", "local in a terminal", "redis in a terminal"]
# To the supervisor the brokers differ in one thing: for local:// it runs the proxy itself. What a signal to all workers
# does is tried over each of them in any case, the rest too by `make supervisor`.
SOME = ALL if os.environ.get("ODAC_LONG") else ["local", "redis", "local in a terminal"]
over_every_broker = pytest.mark.parametrize("start", ALL, indirect=True)


@pytest.fixture(params=SOME)
def start(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    servers: Callable[[str], Server],
    stack: contextlib.ExitStack,
) -> Start:
    """Starts ``odac run`` with two workers, over each broker that connects workers (``local://`` is the default).

    With a thread of its own for the proxy, and without one; alone, and in a pseudo-terminal.
    """
    name, _, where = request.param.partition(" in a ")
    in_terminal = bool(where)
    broker = () if name == "local" else ("--broker", servers(name).url)

    def start(
        source: str,
        *,
        code: str = "",
        group: bool = False,
        ready: bool = True,
        workers: int = 2,
        terminal: Terminal | None = None,
    ) -> Running:
        """``code`` runs in the process that watches, before the command line."""
        if in_terminal:
            terminal = terminal or Terminal(stack)
        if terminal is not None:
            code, group = f"{terminal.code}\n{code}", True
        command = ("-c", f"{code}\nfrom odac.cli import main; main()", "run", "app:app", "--port", "0")
        arguments = ("--workers", str(workers), *broker)
        return Running(tmp_path, source, *arguments, command=command, group=group, ready=ready)

    return start


@over_every_broker
def test_ctrl_c_reaches_every_process_and_the_workers_drain(
    start: Start, tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    with start(APP, group=True) as running:
        clients = one_of_each(running, stack)
        os.killpg(running.pid, signal.SIGINT)
        assert [code_of(client) for client in clients.values()] == [1001, 1001]
        assert running.wait() == 0
        assert "Traceback" not in running.text


@pytest.mark.parametrize("how", ["Ctrl-C", "closed", "Ctrl-Z"])
@pytest.mark.parametrize("start", [f"{name} in a terminal" for name in SOME if " " not in name], indirect=True)
def test_what_a_terminal_does(start: Start, stack: contextlib.ExitStack, how: str) -> None:
    terminal = Terminal(stack)
    with start(APP, terminal=terminal) as running:
        clients = one_of_each(running, stack)
        if how == "closed":
            terminal.close()
        else:
            if how == "Ctrl-Z":
                # What a shell makes of Ctrl-Z; there is no shell here that could continue the group.
                os.killpg(running.pid, signal.SIGSTOP)
                until(lambda: {state_of(pid) for pid in (running.pid, *clients)} == {"T"}, "all stand still")
                os.killpg(running.pid, signal.SIGCONT)
                assert set(one_of_each(running, stack)) == set(clients)
            terminal.type(b"\x03")
        assert [code_of(client) for client in clients.values()] == [1001, 1001]
        assert running.wait() == 0
        assert "Traceback" not in running.text
        assert "replaced" not in running.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_first_process_alone_stops_all(
    start: Start, stack: contextlib.ExitStack, number: signal.Signals
) -> None:
    with start(APP) as running:
        clients = one_of_each(running, stack)
        running.signal(number)
        assert [code_of(client) for client in clients.values()] == [1001, 1001]
        assert running.wait() == 0
        assert "Traceback" not in running.text


@over_every_broker
def test_sighup_to_the_first_process_gives_every_place_a_new_worker(start: Start, stack: contextlib.ExitStack) -> None:
    with start(APP) as running:
        clients = one_of_each(running, stack)
        for times in (1, 2):
            running.signal(signal.SIGHUP)
            running.line("all workers are new", times=times)
        assert [code_of(client) for client in clients.values()] == [1001, 1001]
        assert not set(clients) & set(one_of_each(running, stack))
        assert running.stop(signal.SIGINT) == 0


@pytest.mark.parametrize("ignored", ["SIGINT", "SIGHUP"])
def test_signals_that_were_ignored_at_the_start(start: Start, stack: contextlib.ExitStack, ignored: str) -> None:
    """A script's ``odac run … &`` ignores SIGINT, and nohup ignores SIGHUP: both are heard all the same."""
    with start(APP, code=f"import signal; signal.signal(signal.{ignored}, signal.SIG_IGN)") as running:
        clients = one_of_each(running, stack)
        running.signal(signal.SIGHUP)
        running.line("all workers are new")
        assert [code_of(client) for client in clients.values()] == [1001, 1001]
        assert running.stop(signal.SIGINT) == 0


def test_ctrl_c_before_the_workers_run(start: Start, tmp_path: Path) -> None:
    with start(APP, group=True, ready=False) as running:
        until(lambda: workers_of(running), "the first worker is started")
        os.killpg(running.pid, signal.SIGINT)
        assert running.wait() in (0, 130)
        assert "Traceback" not in running.text


def test_stopping_does_not_wait_for_an_import(start: Start, tmp_path: Path) -> None:
    source = "import os, time\nopen(f'importing-{os.getpid()}', 'w').close()\ntime.sleep(600)"
    with start(source, ready=False) as running:
        until(lambda: len(list(tmp_path.glob("importing-*"))) == 2, "both import the app")
        running.signal(signal.SIGTERM)
        assert running.wait(10) == 0
        assert running.text == ""


def test_stopping_while_a_successor_imports_logs_nothing_about_it(
    start: Start, tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    source = (
        "import os, time\nif os.path.exists('slow'):\n    open('importing', 'w').close()\n    time.sleep(600)\n" + APP
    )
    with start(source) as running:
        victim = next(iter(one_of_each(running, stack)))
        (tmp_path / "slow").touch()
        os.kill(victim, signal.SIGKILL)
        until((tmp_path / "importing").exists, "the successor imports the app")
        running.signal(signal.SIGTERM)
        assert running.wait(10) == 0
        assert "cannot start" not in running.text


def test_a_worker_that_is_frozen_is_replaced(start: Start, tmp_path: Path, stack: contextlib.ExitStack) -> None:
    command = "from odac.serving import worker_handle; worker_handle.BEAT, worker_handle.MISSED = 1.0, 4"
    with start(APP, code=command) as running:
        clients = one_of_each(running, stack)
        frozen, other = clients
        os.kill(frozen, signal.SIGSTOP)
        running.line(f"worker {frozen} has sent no heartbeat for 4 s")
        running.line(f"worker {frozen} was ended by SIGKILL and is replaced")
        assert code_of(clients[frozen]) == 1006
        after = one_of_each(running, stack)
        assert other in after
        assert frozen not in after
        # Its end was asked for, so that nothing of it is left.
        assert "Z" not in [state_of(pid) for pid in workers_of(running)]
        assert clients[other].close_code is None
        assert running.stop() == 0
        assert running.text.count("has sent no heartbeat") == 1


def test_a_worker_that_is_frozen_for_a_while_stays(start: Start, tmp_path: Path, stack: contextlib.ExitStack) -> None:
    command = "from odac.serving import worker_handle; worker_handle.BEAT, worker_handle.MISSED = 0.5, 10**6"
    with start(APP, code=command) as running:
        clients = one_of_each(running, stack)
        frozen = next(iter(clients))
        os.kill(frozen, signal.SIGSTOP)
        until(lambda: state_of(frozen) == "T", "it is frozen")
        os.kill(frozen, signal.SIGCONT)
        assert set(one_of_each(running, stack)) == set(clients)
        assert running.stop() == 0


def test_a_process_that_cannot_be_started_is_tried_again(
    start: Start, tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    """Such as for want of memory. The other worker goes on meanwhile."""
    command = (
        "import asyncio, itertools; real, calls = asyncio.create_subprocess_exec, itertools.count()\n"
        "async def start(*args, **options):\n"
        "    if next(calls) in (2, 3): raise OSError(12, 'Cannot allocate memory')\n"
        "    return await real(*args, **options)\n"
        "asyncio.create_subprocess_exec = start"
    )
    with start(APP, code=command) as running:
        clients = one_of_each(running, stack)
        victim, survivor = clients
        os.kill(victim, signal.SIGKILL)
        running.line("a worker cannot start: no process can be started: .*Cannot allocate memory")
        running.line("a worker cannot start for the same reason")
        assert survivor in one_of_each(running, stack)
        assert clients[survivor].close_code is None
        assert running.stop() == 0
        assert running.text.count("Cannot allocate memory") == 1


@pytest.mark.parametrize("how", ["none", "no process"])
def test_a_server_of_which_no_worker_ever_starts_fails(start: Start, how: str) -> None:
    code = "async def start(*args, **options): raise OSError(12, 'no memory')\nimport asyncio; asyncio.create_subprocess_exec = start"
    source = APP if how == "no process" else "raise RuntimeError('no database')"
    with start(source, workers=4, code=code if how == "no process" else "", ready=False) as running:
        assert running.wait() == 1
        assert len(running.text.splitlines()) == 1 + (how == "none"), running.text


SLOW = (
    "import os, time\nopen(f'importing-{os.getpid()}', 'w').close()\nwhile not os.path.exists('go'): time.sleep(0.02)\n"
)


def test_sighup_while_the_workers_start_leaves_no_more_than_there_should_be(start: Start, tmp_path: Path) -> None:
    with start(SLOW + APP, ready=False) as running:
        until(lambda: len(list(tmp_path.glob("importing-*"))) == 2, "both import the app")
        for _ in range(3):
            running.signal(signal.SIGHUP)
        running.line("rolling restart started")
        (tmp_path / "go").touch()
        running.line("all workers are new", times=1)
        running.signal(signal.SIGHUP)
        running.line("all workers are new", times=2)
        # The signals at the start may have made two restarts of their own, so that the last one is still under way.
        until(lambda: len(workers_of(running)) == 2, "two workers are left")
        assert running.stop() == 0
        assert "cannot start" not in running.text


def test_a_sighup_that_finds_nothing_to_start_leaves_an_empty_place_to_be_filled(
    start: Start, tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    source = "import os\nif os.path.exists('broken'): raise RuntimeError('the disk is full')\n" + APP
    with start(source) as running:
        victim, survivor = one_of_each(running, stack)
        (tmp_path / "broken").touch()
        os.kill(victim, signal.SIGKILL)
        running.line("the next attempt is in 1 s")
        running.signal(signal.SIGHUP)
        running.line("so the old ones keep running")
        (tmp_path / "broken").unlink()
        assert survivor in one_of_each(running, stack)
        assert running.stop() == 0


def test_stopping_in_the_middle_of_a_sighup(start: Start, tmp_path: Path, stack: contextlib.ExitStack) -> None:
    source = APP + (
        "@app.route.ws('/stubborn', token=False)\n"
        "async def stubborn(odac):\n"
        "    import asyncio\n"
        "    odac.ws.send(os.getpid())\n"
        "    try:\n"
        "        await asyncio.sleep(600)\n"
        "    finally:\n"
        "        await asyncio.sleep(1)\n"
    )
    with start(source) as running:
        clients = [stack.enter_context(running.connect("/stubborn")) for _ in range(16)]  # some at each worker
        for client in clients:
            client.recv(DEADLINE)
        running.signal(signal.SIGHUP)
        until(lambda: any(is_closed(client) for client in clients), "the first worker drains")
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        assert "Traceback" not in running.text
        assert "cannot start" not in running.text
