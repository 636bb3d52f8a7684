"""The project under ASGI."""

from __future__ import annotations

import os
from typing import Any

from odac import Context
from odac.contrib.django import DjangoOdac, database_sync_to_async

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.integration.django_site.settings")


def tokens() -> list[Any]:
    """Authentication classes can be imported once Django is set up."""
    import django

    django.setup()
    from rest_framework.authentication import TokenAuthentication

    return [TokenAuthentication]


application = DjangoOdac(rest_framework=tokens())


@application.route.auth.ws("/me", token=False)
async def me(odac: Context) -> None:
    user = await odac.auth.user()
    odac.ws.join("orders")
    odac.ws.send({"email": user.email})


@application.route.auth.ws("/checked")
async def checked(odac: Context) -> None:
    odac.ws.send({"email": (await odac.auth.user()).email})


@application.route.ws("/count", token=False, rate_limit=None)
async def count(odac: Context) -> None:
    """Count the people in every way that handlers have."""
    from tests.integration.django_site.models import Person

    async for way in odac.ws:
        try:
            if way == "async":
                number = await Person.objects.acount()
            else:
                number = await database_sync_to_async(Person.objects.count)()
        except Exception as error:
            odac.ws.send({"error": type(error).__name__})
        else:
            odac.ws.send({"count": number})
