"""The person whom each client sends to us."""

from __future__ import annotations

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.test import Client as Browser

from mcp_oidc.protocol.jwks import SigningJwk


@pytest.fixture
def browser(user: AbstractBaseUser, signing_key: SigningJwk) -> Browser:
    """The browser of alice, who is logged in. Forms without a CSRF token are refused, as in production."""
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(user)
    return browser
