"""How the supervisor starts a worker: in a fresh process, or forked from one that has imported the app."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Mapping
from typing import Final

from odac.serving import worker_handle
from odac.serving.options import ServeOptions
from odac.serving.template_handle import Template
from odac.serving.worker import Job
from odac.serving.worker_handle import Worker

__all__ = ["ForkingStarter", "Starter"]

logger = logging.getLogger("odac.server")

_RELOAD_GRACE: Final = 1.0
_RETIRED: Final = 5.0
"""Seconds that the last template may take to end once its workers have."""


class Starter:
    """Starts each worker in a fresh process, which imports the app.

    Args:
        app: the app, as ``module:app``.
        options: how it is served.
        address: the server's address, for log lines.
        environment: the workers' environment.
    """

    def __init__(self, app: str, options: ServeOptions, address: str, environment: Mapping[str, str]) -> None:
        self._app = app
        self._options = options
        self._address = address
        self._environment = environment

    def _job(self, sockets: list[int]) -> Job:
        return {
            "app": self._app,
            "options": dataclasses.asdict(self._options),
            "sockets": sockets,
            "address": self._address,
            "grace": _RELOAD_GRACE if self._options.reload else None,
            "beat": worker_handle.BEAT,
        }

    async def start(self, sockets: list[int]) -> Worker:
        """Start a worker that listens on these sockets.

        Raises:
            CannotStart: no process can be started, or the app cannot be imported.
        """
        return await Worker.start(self._job(sockets), self._environment)

    async def renew(self) -> None:
        """Make workers that are started from now on use the present code.

        Raises:
            CannotStart: the app cannot be imported; the code that was imported before stays in use.
        """

    async def stop(self) -> None:
        """All workers have ended."""


class ForkingStarter(Starter):
    """Forks each worker from a process that has imported the app (``--preload``)."""

    def __init__(self, app: str, options: ServeOptions, address: str, environment: Mapping[str, str]) -> None:
        super().__init__(app, options, address, environment)
        self._template: Template | None = None
        self._retired: list[Template] = []
        self._starting = asyncio.Lock()
        self._may_fork = True

    async def start(self, sockets: list[int]) -> Worker:
        """See the base class."""
        async with self._starting:
            if self._may_fork and (self._template is None or not self._template.is_alive):
                await self._import()
        if self._template is None:
            return await super().start(sockets)
        return await Worker.fork(self._job(sockets), self._template)

    async def renew(self) -> None:
        """See the base class."""
        async with self._starting:
            if self._may_fork:
                await self._import()

    async def _import(self) -> None:
        template = await Template.start(self._job([]), self._environment)
        before, self._template = self._template, template
        if before is not None:
            self._retire(before)
        if template.threads:
            logger.warning(
                "--preload: importing the app started threads (%s), which forked processes do not have, so each worker"
                " imports the app by itself: start the threads in the app's lifespan instead",
                ", ".join(template.threads),
            )
            self._retire(template)
            self._template, self._may_fork = None, False

    def _retire(self, template: Template) -> None:
        template.retire()
        self._retired = [each for each in self._retired if each.is_alive]
        self._retired.append(template)

    async def stop(self) -> None:
        """See the base class."""
        templates = [*self._retired, *([self._template] if self._template is not None else [])]
        for template in templates:
            template.retire()
        try:
            async with asyncio.timeout(_RETIRED):
                await asyncio.gather(*(template.ended() for template in templates))
        except TimeoutError:
            for template in templates:
                template.kill()
            await asyncio.gather(*(template.ended() for template in templates))
