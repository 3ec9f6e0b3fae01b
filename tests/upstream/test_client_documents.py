"""Logins for a client that is not known before them, because its metadata document is read after them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import LazySettings

from mcp_oidc.server.client_keys import forget_client_keys
from tests.server.authorizations import text_of
from tests.server.documents import APP, APP_REDIRECT, Web, make_document
from tests.upstream.browser import Browser, authorize_url


@pytest.fixture
def web(settings: LazySettings) -> Iterator[Web]:
    """A web on which the client's document is published."""
    Web.published, Web.fetched = {APP: make_document()}, []
    settings.OAUTH2_PROVIDER = {"CIMD_METADATA_FETCHER": "tests.server.documents.Web"}
    yield Web()
    forget_client_keys()


@pytest.mark.requirement("client-document-after-login")
def test_document_is_read_once_the_user_is_back_from_the_provider(browser: Browser, web: Web) -> None:
    url = authorize_url(APP, redirect_uri=APP_REDIRECT, prompt="login")
    to_provider = browser.client.get(url)
    assert to_provider.headers["Location"].startswith(browser.idp.issuer)
    assert web.fetched == []
    back = browser.come_back(browser.idp.log_in(to_provider.headers["Location"], "alice"))
    assert "Example app" in text_of(browser.client.get(back.headers["Location"]))
    assert web.fetched == [APP]


@pytest.mark.requirement("client-document-after-login")
def test_user_who_says_no_at_the_provider_gets_a_page_and_nothing_is_fetched(browser: Browser, web: Web) -> None:
    to_provider = browser.client.get(authorize_url(APP, redirect_uri=APP_REDIRECT))
    back = browser.come_back(browser.idp.log_in(to_provider.headers["Location"], deny=True))
    page = browser.client.get(back.headers["Location"])
    assert page.status_code == 403
    assert "That did not work" in text_of(page)
    assert web.fetched == []
    # It is told once; the next try is a new login.
    assert browser.client.get(back.headers["Location"]).status_code == 302


@pytest.mark.requirement("client-document-unavailable")
def test_outage_of_the_provider_is_a_page(browser: Browser, web: Web) -> None:
    browser.idp.faults = {"discovery": 500}
    page = browser.client.get(authorize_url(APP, redirect_uri=APP_REDIRECT))
    assert page.status_code == 503
    assert "Location" not in page.headers
