"""``manage.py tell TEXT``: send to everybody from another process."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from odac.contrib.django import publisher


class Command(BaseCommand):  # type: ignore[misc]
    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("text")

    def handle(self, *args: Any, text: str, **options: Any) -> None:
        publisher.broadcast({"told": text})
