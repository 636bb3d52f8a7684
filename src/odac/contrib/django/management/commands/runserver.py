"""``manage.py runserver``: the project under ASGI, with its WebSockets."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands.runserver import Command as RunserverCommand
from django.db import connections

from odac.errors import OdacError
from odac.serving.run import run_app

__all__ = ["Command"]


class Command(RunserverCommand):  # type: ignore[misc]
    """Serves ``ASGI_APPLICATION`` for development; the arguments are those of Django's own command."""

    help = "Serves the project with Odac, under ASGI: HTTP, WebSockets and, while DEBUG is on, static files."

    def add_arguments(self, parser: Any) -> None:
        """See Django's command."""
        super().add_arguments(parser)
        if apps.is_installed("django.contrib.staticfiles"):
            parser.add_argument("--nostatic", action="store_true", help="Accepted and ignored: DEBUG decides.")
            parser.add_argument("--insecure", action="store_true", help="Accepted and ignored: DEBUG decides.")

    def run(self, **options: Any) -> None:
        """Check the project and serve it until Ctrl-C."""
        application = getattr(settings, "ASGI_APPLICATION", None)
        if not application:
            raise CommandError("Set ASGI_APPLICATION to the DjangoOdac() app's name, as in 'mysite.asgi.application'.")
        module, _, name = application.rpartition(".")
        if not options.get("skip_checks"):
            self.check(display_num_errors=True)
        self.check_migrations()
        for connection in connections.all(initialized_only=True):
            connection.close()
        try:
            run_app(
                f"{module}:{name}",
                exiting=True,
                host="0.0.0.0" if self.addr == "0" else self.addr,  # noqa: S104 - as Django's command means it
                port=int(self.port),
                reload=options["use_reloader"],
            )
        except OdacError as error:
            raise CommandError(str(error)) from None
