"""The module, judged by TypeScript: right code passes, and each wrong line is refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Union

import msgspec
import pytest

from odac import History, Odac, Presence
from odac.contract.model import read
from odac.contract.typescript import Hooks, module
from tests.unit.contract import chess, desk
from tests.unit.test_client_build import CLIENT, STATIC, missing

ROOMS = [("game-*", None, Presence()), ("lobby", History(), Presence()), ("`$news*", History(), None)]


class Record(msgspec.Struct):
    values: dict[str, Any]


class AppRooms(msgspec.Struct):
    rooms: list[Record]


USE = """
import { ws } from './api'

const socket = ws('/chess/7', { shared: true })
socket.send({ type: 'say', text: 'hello' })
socket.send({ type: 'typing', on: true })
socket.on('message', (message) => {
  if ('theText' in message) message.theText.toUpperCase()
  else message.state satisfies 'open' | 'over'
})
socket
  .on('open', () => {})
  .on('invalid', ({ field, reason }) => field.length + reason.length)
  .on('presence', ({ room }) => room satisfies 'lobby' | `game-${string}`)
  .on('recover', ({ room }) => room satisfies 'lobby' | `\\`$news${string}` | null)
  .off('open')
  .answer('sure', () => true)
  .send({ type: 'typing', on: true })
const use = async (): Promise<string> => {
  await socket.call('resign')
  await socket.call('move', { to: 'e4', pieces: [[1, 'rook']] }, { retry: true })
  await socket.on('open', () => {}).call('move', { to: 'e4' })
  return (await socket.call('move', { to: 'e4' })).to
}
use().catch(() => {})
ws('/').send('anything')
ws('/?x=1').close()

ws('/chess/seven') // error
ws('/other') // error
socket.send({ type: 'say' }) // error
socket.send({ type: 'other', text: '' }) // error
socket.send('text') // error
socket.on('open', () => {}).send('text') // error
socket.off('open').call('mvoe', { to: 'e4' }).catch(() => {}) // error
socket.answer('sure', () => true).on('message', (message) => message.nothing) // error
socket.call('move', { to: 4 }).catch(() => {}) // error
socket.call('mvoe', { to: 'e4' }).catch(() => {}) // error
socket.on('message', (message) => message.nothing) // error
socket.on('presence', ({ room }) => room === 'tea') // error
socket.on('recover', ({ room }) => room === 'game-7') // error
socket.on('invalid', ({ place }) => place) // error
const answer: Promise<number> = socket.call('resign') // error
console.log(answer)
"""

REACT = """
import { useOdac } from './api'

export function Board({ id }: { id: number | undefined }) {
  const { connected, message, presence, recovery, send, socket } = useOdac(id === undefined ? null : `/chess/${id}`, {
    shared: true,
    onMessage: (said) => ('theText' in said ? said.theText.toUpperCase() : said.to),
    onRecover: ({ room }) => room satisfies 'lobby' | `\\`$news${string}` | null,
  })
  const here = presence.get('lobby')?.users.length ?? presence.get(`game-${id}`)?.total
  send({ type: 'say', text: `${connected} ${here} ${recovery?.room}` })
  socket?.call('move', { to: 'e4' }).then((moved) => moved.to).catch(() => {})
  useOdac('/').send('anything')

  useOdac('/chess/seven') // error
  useOdac('/other') // error
  send({ type: 'say' }) // error
  socket?.call('mvoe') // error
  socket?.call('move', { to: 'e4' }).then((moved) => moved.nothing) // error
  socket?.on('open', () => {}).send('text') // error
  presence.get('tea') // error
  useOdac('/chess/7', { onMessage: (said) => said.nothing }) // error
  return message && 'to' in message ? message.to : message?.nothing // error
}
"""

VUE = """
import { ref, watch } from 'vue'
import { useOdac } from './api'

export const setup = ({ id }: { id: number | null }) => {
  const { connected, message, presence, recovery, send, socket } = useOdac(() => (id === null ? null : `/chess/${id}`), {
    onMessage: (said) => ('theText' in said ? said.theText.toUpperCase() : said.to),
  })
  const path = ref<'/chess/1' | '/chess/2'>('/chess/1')
  useOdac(path, () => ({ shared: true })).send({ type: 'typing', on: true })
  watch(recovery, (recovered) => recovered?.room satisfies 'lobby' | `\\`$news${string}` | null | undefined)
  send({ type: 'say', text: `${connected.value} ${presence.value.get('lobby')?.total}` })
  socket.value?.call('move', { to: 'e4' }).then((moved) => moved.to).catch(() => {})

  useOdac(() => '/chess/seven') // error
  useOdac('/other') // error
  send({ type: 'say' }) // error
  socket.value?.call('mvoe') // error
  socket.value?.on('open', () => {}).send('text') // error
  presence.value.get('tea') // error
  return message.value && 'to' in message.value ? message.value.to : message.value?.nothing // error
}
"""


def errors(folder: Path, source: str, use: str) -> tuple[set[int], str]:
    """The lines of ``use`` that TypeScript refuses, and all that it says."""
    node = shutil.which("node")
    if node is None:
        missing("Node")
    modules = CLIENT / "node_modules"
    tsc = modules / "typescript" / "bin" / "tsc"
    if not tsc.exists():
        missing("TypeScript (npm install, in client/)")
    (folder / "node_modules").mkdir()
    for package in ("@types", "react", "vue"):
        (folder / "node_modules" / package).symlink_to(modules / package)
    (folder / "api.ts").write_text(source, encoding="utf-8")
    (folder / "use.ts").write_text(use, encoding="utf-8")
    options = {
        "noEmit": True,
        "strict": True,
        "exactOptionalPropertyTypes": True,
        "skipLibCheck": True,
        "target": "es2022",
        "lib": ["es2022", "dom", "dom.iterable"],
        "module": "esnext",
        "moduleResolution": "bundler",
        "types": [],
        "paths": {
            "odac-client": [str(STATIC / "odac.d.ts")],
            "odac-client/react": [str(CLIENT / "src" / "react.ts")],
            "odac-client/vue": [str(CLIENT / "src" / "vue.ts")],
        },
    }
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["use.ts", "api.ts"]}))
    done = subprocess.run(
        [str(node), str(tsc), "-p", "."], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    output = done.stdout + done.stderr
    assert not re.search(r"^(?!use\.ts)\S+\(\d", output, re.MULTILINE), output
    return {int(number) for number in re.findall(r"^use\.ts\((\d+),", output, re.MULTILINE)}, output


def wrong(use: str) -> set[int]:
    return {number for number, line in enumerate(use.splitlines(), 1) if line.endswith("// error")}


def made(hooks: Hooks | None = None) -> str:
    contract = read(chess.app.websocket_routes, ROOMS)
    return module(contract, command="odac types chess:app", library="odac-client", hooks=hooks)


def test_typescript_takes_right_code_and_refuses_wrong_code(tmp_path: Path) -> None:
    found, output = errors(tmp_path, made(), USE)
    assert found == wrong(USE), output


@pytest.mark.parametrize(("hooks", "use"), [("react", REACT), ("vue", VUE)])
def test_the_hooks_are_typed_as_well(hooks: Hooks, use: str, tmp_path: Path) -> None:
    found, output = errors(tmp_path, made(hooks), use)
    assert found == wrong(use), output


@pytest.mark.parametrize("hooks", [None, "react", "vue"])
def test_it_names_nothing_of_a_framework_that_was_not_asked_for(hooks: Hooks | None) -> None:
    source = made(hooks)
    assert re.findall(r"odac-client/(\w+)'", source) == ([hooks] if hooks else [])


USE_DESK = """
import { ws, type AskOutput, type Busy } from './api'

const desk = ws('/desk')
desk.send({ kind: 'ask' })
desk.on('message', (message) => {
  if (message.kind === 'ask') return message.text.toUpperCase()
  const [first] = message.messages
  return `${first?.kind} ${Object.keys(message.by_name)} ${message.last?.kind === 'busy' && message.last.seconds}`
})
const use = async (): Promise<AskOutput | Busy | null> => {
  const found = await desk.call('all', [{ kind: 'ask' }, { kind: 'busy', seconds: 1 }])
  found satisfies Record<string, AskOutput | Busy>
  return desk.call('last', { kind: 'log', by_name: { ada: { kind: 'ask' } } })
}
use().catch(() => {})
ws('/lists').on('message', (messages) => messages['ada']?.kind === 'ask').send([{ kind: 'busy', seconds: 1 }])

desk.send({ text: 'hello' }) // error
desk.send({ kind: 'log' }) // error
desk.call('all', [{ text: 'hello' }]).catch(() => {}) // error
desk.call('last', { kind: 'log', last: { seconds: 1 } }).catch(() => {}) // error
desk.on('message', (message) => message.text) // error
ws('/lists').send({ kind: 'ask' }) // error
"""


def test_unions_within_other_types_and_defaults_in_both_directions(tmp_path: Path) -> None:
    source = module(read(desk.app.websocket_routes), command="odac types desk:app", library="odac-client")
    found, output = errors(tmp_path, source, USE_DESK)
    assert found == wrong(USE_DESK), output


def test_types_with_the_names_that_the_module_uses_itself(tmp_path: Path) -> None:
    app = Odac(secret="x" * 32)
    app.route.ws("/", message=Record, sends=AppRooms)(lambda odac: None)
    source = module(read(app.websocket_routes), command="odac types x:app", library="odac-client")
    use = "import { ws } from './api'\nws('/').send({ values: { a: 1 } })\nws('/').send({ values: 1 }) // error\n"
    found, output = errors(tmp_path, source, use)
    assert found == wrong(use), output


def test_types_with_the_names_of_sockets_functions_and_words_of_the_language(tmp_path: Path) -> None:
    names = ("ChatSocket", "use", "useOdac", "ws", "default", "enum")
    types = [msgspec.defstruct(name, [("x", int)], tag=name) for name in names]
    app = Odac(secret="x" * 32)
    app.route.ws("/chat", message=Union[tuple(types)])(lambda odac: None)  # noqa: UP007
    source = module(read(app.websocket_routes), command="odac types x:app", library="odac-client", hooks="react")
    use = "import { ws, useOdac } from './api'\n" + "".join(
        f"ws('/chat').send({{ type: '{name}', x: 1 }})\nws('/chat').send({{ type: '{name}' }}) // error\n"
        for name in names
    )
    found, output = errors(tmp_path, source, use)
    assert found == wrong(use), output


def test_an_app_without_routes() -> None:
    contract = read(Odac(secret="x" * 32).websocket_routes)
    source = module(contract, command="odac types empty:app", library="/odac/odac.mjs", hooks="vue")
    assert "from '/odac/odac.mjs'" in source
    assert "ws(path: never" in source
    assert "useOdac(path: MaybeRefOrGetter<never" in source
