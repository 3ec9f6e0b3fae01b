"""The page of connected apps, where people log in at the identity provider."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model

from mcp_oidc.models import IdpTokenSet
from tests.idp import Idp
from tests.server.authorizations import text_of
from tests.upstream.browser import Browser

PAGE = "/oauth/connections"


@pytest.mark.requirement("connected-apps-login")
def test_stranger_logs_in_at_the_provider_and_comes_back(browser: Browser, idp: Idp) -> None:
    location = browser.client.get(PAGE)["Location"]
    assert location.startswith(idp.issuer)
    assert browser.come_back(idp.log_in(location))["Location"] == PAGE
    assert "Logged in as alice@example.com No app is connected." in text_of(browser.client.get(PAGE))


@pytest.mark.requirement("connected-apps-login")
def test_password_of_this_site_proves_nothing_to_the_provider(browser: Browser, idp: Idp) -> None:
    browser.client.force_login(
        get_user_model().objects.create_user("carol"), backend="django.contrib.auth.backends.ModelBackend"
    )
    assert browser.client.get(PAGE)["Location"].startswith(idp.issuer)


def test_provider_that_is_down_is_a_page(browser: Browser, idp: Idp) -> None:
    idp.faults = {"discovery": 500}
    page = browser.client.get(PAGE)
    assert page.status_code == 503
    assert "The identity provider does not answer." in text_of(page)


def test_whoever_has_logged_in_can_disconnect_apps_while_the_provider_is_down(browser: Browser, idp: Idp) -> None:
    browser.come_back(idp.log_in(browser.client.get(PAGE)["Location"]))
    IdpTokenSet.objects.all().delete()
    idp.faults = {"discovery": 500}
    assert browser.client.get(PAGE).status_code == 200
