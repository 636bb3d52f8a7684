"""An app's own start-up and shutdown, without a log line for each step."""

from __future__ import annotations

import logging
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from uvicorn.lifespan.on import LifespanOn

if TYPE_CHECKING:
    from uvicorn.config import Config

__all__ = ["QuietLifespan", "why_it_failed"]

logger = logging.getLogger("odac.server")

_PLACE: Final = re.compile(r' *File "(.+)", line (\d+), in .*')


class QuietLifespan(LifespanOn):
    """Keeps the reason of a failed start-up, instead of logging each step."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.reason = ""
        self.logger = logging.getLogger("odac.server.lifespan")
        self.logger.setLevel(logging.ERROR)

    async def send(self, message: Any) -> None:
        """Handle a message of the app."""
        if message["type"] == "lifespan.startup.failed":
            self.reason = message.get("message") or ""
            message = {"type": "lifespan.startup.failed"}
        await super().send(message)


def why_it_failed(reason: str) -> str:
    """The one sentence of an app's reason for its failed start-up: Starlette gives a whole traceback."""
    lines = reason.strip().splitlines() or ["the app gave no reason"]
    if "Traceback (most recent call last):" not in reason:
        return f"the app's start-up failed: {reason.strip() or lines[0]}"
    logger.debug("%s", reason)
    places = [
        f"{found[1]}, line {found[2]}: {following.strip()}"
        for line, following in pairwise(lines)
        if (found := _PLACE.fullmatch(line)) is not None and "site-packages" not in found[1]
    ]
    return f"the app's start-up failed: {lines[-1]}" + (f"\n{places[-1]}" if places else "")
