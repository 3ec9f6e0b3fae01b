"""What "remember" remembers: just what was approved, and nothing that is wider."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client as Browser
from django.test import override_settings

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import register
from mcp_oidc.core.revocation import block_client, revoke_client, unblock_client
from mcp_oidc.models import AbstractClient, Consent
from tests.factories import ISSUER, REDIRECT_URI, make_metadata
from tests.server.authorizations import answer_of, approve, authorize_url

pytestmark = pytest.mark.requirement("consent-remembered")

WEB = "https://app.example/cb"
OTHER = "https://app.example/other"
CURSOR = "cursor://anysphere.cursor-mcp/oauth/callback"


def register_with(*redirect_uris: str) -> AbstractClient:
    return register(make_metadata(redirect_uris=list(redirect_uris)), caller=Caller()).client


@pytest.fixture
def client(db: None) -> AbstractClient:
    """A client on the web, with two addresses of its own."""
    return register_with(WEB, OTHER)


def allow(browser: Browser, client: AbstractClient, *, redirect_uri: str = WEB, **changes: str) -> None:
    approve(browser, client, redirect_uri=redirect_uri, **changes)


def is_asked(browser: Browser, client: AbstractClient, *, redirect_uri: str = WEB, **changes: str) -> bool:
    """Whether the person sees the consent page, or else the client its code."""
    response = browser.get(authorize_url(client, redirect_uri=redirect_uri, **changes))
    if response.status_code == 200:
        return True
    assert "code" in answer_of(response, redirect_uri)
    return False


def remembered_locally() -> Any:
    return override_settings(MCP_OIDC={"ISSUER": ISSUER, "CONSENT_REMEMBER_LOCAL": True})


def test_what_was_approved_is_not_asked_again(browser: Browser, client: AbstractClient) -> None:
    assert is_asked(browser, client)
    allow(browser, client)
    assert not is_asked(browser, client)


def test_fewer_scopes_are_not_asked_for_and_do_not_narrow_what_is_remembered(
    browser: Browser, client: AbstractClient
) -> None:
    allow(browser, client, scope="openid mcp notes:write")
    assert not is_asked(browser, client, scope="mcp")
    assert not is_asked(browser, client, scope="openid mcp notes:write")


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": "openid mcp notes:write"},
        {"scope": "mcp profile"},
        {"redirect_uri": OTHER},
        {"resource": f"{ISSUER}/mcp/plain"},
        {"prompt": "consent"},
    ],
)
def test_whatever_is_wider_or_elsewhere_is_asked_for(
    browser: Browser, client: AbstractClient, changes: dict[str, str]
) -> None:
    allow(browser, client)
    assert is_asked(browser, client, **changes)


def test_scopes_that_were_approved_one_by_one_add_up(browser: Browser, client: AbstractClient) -> None:
    allow(browser, client, scope="mcp profile")
    allow(browser, client, scope="mcp notes:write")
    assert not is_asked(browser, client, scope="mcp profile notes:write")
    assert Consent.objects.count() == 1


@pytest.mark.requirement("consent-local")
@pytest.mark.parametrize("uri", [REDIRECT_URI, "http://localhost/callback", "http://[::1]:1/callback", CURSOR])
def test_program_on_the_device_is_asked_for_each_time_unless_the_setting_allows_otherwise(
    browser: Browser, db: None, uri: str
) -> None:
    client = register_with(uri)
    allow(browser, client, redirect_uri=uri)
    assert is_asked(browser, client, redirect_uri=uri)
    with remembered_locally():
        assert not is_asked(browser, client, redirect_uri=uri)


def test_port_of_a_loopback_client_is_not_remembered(browser: Browser, db: None) -> None:
    client = register_with(REDIRECT_URI)
    with remembered_locally():
        allow(browser, client, redirect_uri=REDIRECT_URI)
        assert not is_asked(browser, client, redirect_uri=REDIRECT_URI.replace("33418", "50123"))


def test_another_loopback_host_or_path_is_asked_for(browser: Browser, db: None) -> None:
    uris = [REDIRECT_URI, "http://localhost:33418/callback", "http://127.0.0.1:33418/other"]
    client = register_with(*uris)
    with remembered_locally():
        allow(browser, client, redirect_uri=uris[0])
        assert is_asked(browser, client, redirect_uri=uris[1])
        assert is_asked(browser, client, redirect_uri=uris[2])


def test_another_client_of_the_same_name_and_address_is_asked_for(browser: Browser, client: AbstractClient) -> None:
    allow(browser, client)
    assert is_asked(browser, register_with(WEB, OTHER))


def test_another_user_is_asked(browser: Browser, client: AbstractClient) -> None:
    allow(browser, client)
    other = Browser()
    other.force_login(get_user_model().objects.create_user("bob", password="a long password"))
    assert is_asked(other, client)


def test_client_that_was_revoked_is_asked_for_again(browser: Browser, client: AbstractClient) -> None:
    allow(browser, client)
    revoke_client(client, "test")
    assert is_asked(browser, client)


def test_client_that_was_blocked_and_unblocked_is_asked_for_again(browser: Browser, client: AbstractClient) -> None:
    allow(browser, client)
    block_client(client)
    unblock_client(client)
    assert is_asked(browser, client)


@pytest.mark.parametrize(("consent", "asked"), [("always", True), ("remember", False), ("never", False)])
def test_setting_decides_when_a_second_time_is_asked(
    browser: Browser, client: AbstractClient, consent: str, asked: bool
) -> None:
    with override_settings(MCP_OIDC={"ISSUER": ISSUER, "CONSENT": consent}):
        if consent != "never":
            allow(browser, client)
        assert is_asked(browser, client) is asked
