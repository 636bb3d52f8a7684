"""The project's own way to find people."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend

from tests.integration.django_site.models import Person


class EmailBackend(ModelBackend):  # type: ignore[misc]
    def authenticate(self, request: Any, email: str = "", password: str = "") -> Any:
        person = Person.objects.filter(email=email).first()
        return person if person and person.check_password(password) and self.user_can_authenticate(person) else None
