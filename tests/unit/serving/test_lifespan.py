from __future__ import annotations

from typing import Any

from odac.config import Limits
from odac.serving.lifespan import QuietLifespan, why_it_failed
from odac.serving.options import ServeOptions
from odac.serving.uvicorn_config import UvicornConfig
from tests.unit.realtime.realtime_fakes import run

TRACEBACK = """Traceback (most recent call last):
  File "/srv/.venv/lib/python3.11/site-packages/starlette/routing.py", line 694, in lifespan
    async with self.lifespan_context(app):
  File "/srv/chat.py", line 7, in lifespan
    database = connect()
  File "/srv/.venv/lib/python3.11/site-packages/driver.py", line 3, in connect
    raise OSError("no database")
OSError: no database
"""


def test_the_reason_is_the_apps_sentence_or_the_line_a_person_can_mend() -> None:
    assert why_it_failed("no disk") == "the app's start-up failed: no disk"
    assert why_it_failed("") == "the app's start-up failed: the app gave no reason"
    assert why_it_failed(TRACEBACK) == (
        "the app's start-up failed: OSError: no database\n/srv/chat.py, line 7: database = connect()"
    )


def test_a_failed_start_keeps_its_reason() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no disk"})

    async def main() -> QuietLifespan:
        config = UvicornConfig(app, ServeOptions(), Limits())
        config.load()
        lifespan = QuietLifespan(config)
        await lifespan.startup()
        return lifespan

    lifespan = run(main())
    assert lifespan.should_exit
    assert lifespan.reason == "no disk"
