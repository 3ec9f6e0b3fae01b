"""Operators, logged in at the admin."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client as Browser


@pytest.fixture
def admin_browser(db: None) -> Browser:
    """The browser of a superuser."""
    browser = Browser()
    browser.force_login(get_user_model().objects.create_superuser("root", "root@example.com", "a long password"))
    return browser


@pytest.fixture
def staff_browser(db: None) -> Callable[..., Browser]:
    """The browser of a staff member who has just the permissions named, such as `change_connection`."""

    def log_in(*codenames: str) -> Browser:
        staff = get_user_model().objects.create_user("staff", password="a long password", is_staff=True)
        staff.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        browser = Browser()
        browser.force_login(staff)
        return browser

    return log_in
