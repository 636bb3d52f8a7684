from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.checks import run_checks
from django.core.management import get_commands
from django.test.utils import override_settings

ODAC, STATIC = "odac.contrib.django", "django.contrib.staticfiles"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Django remembers which app a command is from."""
    get_commands.cache_clear()
    yield
    get_commands.cache_clear()


@pytest.mark.parametrize(
    ("apps", "ids"), [([ODAC, STATIC], []), ([STATIC, ODAC], ["odac.W001"])], ids=["first", "last"]
)
def test_another_runserver_is_warned_of(apps: list[str], ids: list[str]) -> None:
    with override_settings(INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", *apps]):
        found = [each for each in run_checks() if each.id.startswith("odac.")]
    assert [each.id for each in found] == ids
    assert all("before 'django.contrib.staticfiles'" in each.hint for each in found)
