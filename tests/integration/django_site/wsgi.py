"""The project under WSGI, beside the other."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.integration.django_site.settings")

application = get_wsgi_application()
