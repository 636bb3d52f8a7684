"""The module, judged by TypeScript: right code passes, and each wrong line is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from odac import Odac
from odac.contract.model import read
from odac.contract.typescript import module
from tests.unit.contract import chess
from tests.unit.test_client_build import CLIENT, STATIC, missing

USE = """
import { ws } from './api'

const socket = ws('/chess/7', { shared: true })
socket.send({ type: 'say', text: 'hello' })
socket.send({ type: 'typing', on: true })
socket.on('message', (message) => {
  if ('theText' in message) message.theText.toUpperCase()
  else message.state satisfies 'open' | 'over' | undefined
})
const use = async (): Promise<string> => {
  await socket.call('resign')
  await socket.call('move', { to: 'e4', pieces: [[1, 'rook']] }, { retry: true })
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
socket.call('move', { to: 4 }).catch(() => {}) // error
socket.call('mvoe', { to: 'e4' }).catch(() => {}) // error
socket.on('message', (message) => message.nothing) // error
const answer: Promise<number> = socket.call('resign') // error
console.log(answer)
"""


def compile_(folder: Path, source: str) -> str:
    node = shutil.which("node")
    if node is None:
        missing("Node")
    tsc = CLIENT / "node_modules" / "typescript" / "bin" / "tsc"
    if not tsc.exists():
        missing("TypeScript (npm install, in client/)")
    package = folder / "node_modules" / "odac-client"
    package.mkdir(parents=True)
    shutil.copy(STATIC / "odac.d.ts", package / "index.d.ts")
    (package / "package.json").write_text('{"name": "odac-client", "version": "1.0.0", "types": "index.d.ts"}')
    (folder / "api.ts").write_text(source, encoding="utf-8")
    (folder / "use.ts").write_text(USE, encoding="utf-8")
    options = [
        "--ignoreConfig",
        "--noEmit",
        "--strict",
        "--target",
        "es2022",
        "--module",
        "esnext",
        "--moduleResolution",
        "bundler",
        "--types",
    ]
    done = subprocess.run(
        [str(node), str(tsc), *options, "", "use.ts", "api.ts"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


def test_typescript_takes_right_code_and_refuses_wrong_code(tmp_path: Path) -> None:
    output = compile_(
        tmp_path, module(read(chess.app.websocket_routes), command="odac types chess:app", library="odac-client")
    )
    found = {int(number) for number in re.findall(r"use\.ts\((\d+),", output)}
    assert "api.ts" not in output
    assert found == {number for number, line in enumerate(USE.splitlines(), 1) if line.endswith("// error")}, output


def test_an_app_without_routes() -> None:
    made = module(
        read(Odac(secret="x" * 32).websocket_routes), command="odac types empty:app", library="/odac/odac.mjs"
    )
    assert "from '/odac/odac.mjs'" in made
    assert "ws(path: never" in made
