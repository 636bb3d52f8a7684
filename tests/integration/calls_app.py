"""An app for the tests with faults: each execution of a call is a line in a file, which outlives the process."""

from __future__ import annotations

import asyncio
import os

from odac import Context, Limits, Odac

app = Odac(limits=Limits(rate_limit=None))
_journal = os.open(os.environ["CALLS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

pay = app.route.ws("/pay", token=False)


@pay.answer("pay")
async def execute(odac: Context, name: str) -> str:
    os.write(_journal, f"{name}\n".encode())
    await asyncio.sleep(0)
    return name
