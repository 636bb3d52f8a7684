"""Noticing changed files."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from odac.serving.reload import Watch, source_files


def test_what_is_watched(tmp_path: Path) -> None:
    for name in (
        "app.py",
        "inner/module.py",
        "page.html",
        ".venv/lib/thing.py",
        "venv/lib/thing.py",
        "node_modules/x.py",
        "lib/site-packages/y.py",
        "__pycache__/app.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = {Path(each).relative_to(tmp_path).as_posix() for each in source_files([str(tmp_path)])}
    assert found == {"app.py", "inner/module.py"}


def test_changed_added_and_removed_files_are_reported_once(tmp_path: Path) -> None:
    for index in range(5):
        (tmp_path / f"{index}.py").touch()

    async def main() -> None:
        changes = Watch([str(tmp_path)]).changes()
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        os.utime(tmp_path / "0.py", (1, 1))
        (tmp_path / "1.py").unlink()
        (tmp_path / "new.py").touch()
        told = await asyncio.wait_for(waiting, 10)
        assert {Path(name).name for name in told.split(", ")} == {"0.py", "1.py", "new.py"}
        waiting = asyncio.ensure_future(anext(changes))
        for index in (0, 2, 3, 4):
            os.utime(tmp_path / f"{index}.py", (2, 2))
        assert (await asyncio.wait_for(waiting, 10)).endswith("3.py and 1 more")
        await changes.aclose()

    asyncio.run(main())


def test_a_change_before_the_first_look_is_seen(tmp_path: Path) -> None:
    watch = Watch([str(tmp_path)])
    (tmp_path / "app.py").touch()

    async def main() -> None:
        changes = watch.changes()
        assert (await asyncio.wait_for(anext(changes), 10)).endswith("app.py")
        await changes.aclose()

    asyncio.run(main())
