"""Consents: asked for whatever the user has not approved in just this form."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import register
from mcp_oidc.core.consents import is_consent_needed, remember_consent
from mcp_oidc.models import AbstractClient, Consent
from tests.core.parallel import in_parallel
from tests.core.passing import let_pass
from tests.factories import RESOURCE, make_metadata

pytestmark = pytest.mark.django_db

ASKED: dict[str, Any] = {
    "redirect_uri": "https://client.example/cb",
    "resource": RESOURCE,
    "scopes": ("openid", "mcp"),
}


@pytest.mark.requirement("consent-remembered")
def test_user_is_asked_once(user: AbstractBaseUser, public_client: AbstractClient) -> None:
    assert is_consent_needed(user, public_client, **ASKED)
    remember_consent(user, public_client, **ASKED)
    assert not is_consent_needed(user, public_client, **ASKED)
    assert not is_consent_needed(user, public_client, **{**ASKED, "scopes": ("mcp",)})


@pytest.mark.requirement("consent-remembered")
@pytest.mark.parametrize(
    "change",
    [
        {"scopes": ("openid", "mcp", "notes:write")},
        {"scopes": ("MCP",)},
        {"redirect_uri": "https://client.example/other"},
        {"redirect_uri": "https://client.example/CB"},
        {"redirect_uri": "https://client.example:8443/cb"},
        {"resource": "http://testserver/mcp/plain"},
        {"resource": "http://testserver/MCP"},
    ],
)
def test_user_is_asked_again_for_anything_new(
    user: AbstractBaseUser, public_client: AbstractClient, change: dict[str, Any]
) -> None:
    remember_consent(user, public_client, **ASKED)
    assert is_consent_needed(user, public_client, **{**ASKED, **change})


@pytest.mark.requirement("resource-implied-scopes")
def test_approval_of_a_wider_scope_covers_what_it_implies_and_not_the_other_way_round(
    user: AbstractBaseUser, public_client: AbstractClient, settings: LazySettings
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "IMPLIED_SCOPES": {"notes:write": ["mcp"]}}
    remember_consent(user, public_client, **{**ASKED, "scopes": ("notes:write",)})
    assert not is_consent_needed(user, public_client, **{**ASKED, "scopes": ("mcp",)})
    other = {**ASKED, "redirect_uri": "https://client.example/other"}
    remember_consent(user, public_client, **{**other, "scopes": ("mcp",)})
    assert is_consent_needed(user, public_client, **{**other, "scopes": ("notes:write",)})


@pytest.mark.requirement("consent-remembered")
def test_approval_is_of_one_user_for_one_client(
    user: AbstractBaseUser, public_client: AbstractClient, caller: Caller
) -> None:
    remember_consent(user, public_client, **ASKED)
    other_client = register(make_metadata(), caller=caller).client
    other_user = get_user_model().objects.create_user("bob")
    assert is_consent_needed(user, other_client, **ASKED)
    assert is_consent_needed(other_user, public_client, **ASKED)


def test_loopback_client_comes_back_on_another_port(
    user: AbstractBaseUser, public_client: AbstractClient, settings: LazySettings
) -> None:
    settings.MCP_OIDC = {"CONSENT_REMEMBER_LOCAL": True}
    remember_consent(user, public_client, **{**ASKED, "redirect_uri": "http://localhost:33418/cb"})
    assert not is_consent_needed(user, public_client, **{**ASKED, "redirect_uri": "http://localhost:49152/cb"})
    assert is_consent_needed(user, public_client, **{**ASKED, "redirect_uri": "http://127.0.0.1:33418/cb"})


def test_scopes_add_up_and_the_time_is_that_of_the_last_approval(
    user: AbstractBaseUser, public_client: AbstractClient
) -> None:
    remember_consent(user, public_client, **ASKED)
    let_pass(3600, Consent.objects.get())
    remember_consent(user, public_client, **{**ASKED, "scopes": ("notes:write",)})
    consent = Consent.objects.get()
    assert consent.scopes == "openid mcp notes:write"
    assert timezone.now() - consent.approved_at < timedelta(seconds=60)


@pytest.mark.parametrize(("setting", "before", "after"), [("always", True, True), ("never", False, False)])
def test_setting_decides_whether_to_ask(
    user: AbstractBaseUser,
    public_client: AbstractClient,
    settings: LazySettings,
    setting: str,
    before: bool,
    after: bool,
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "CONSENT": setting}
    assert is_consent_needed(user, public_client, **ASKED) is before
    remember_consent(user, public_client, **ASKED)
    assert is_consent_needed(user, public_client, **ASKED) is after


@pytest.mark.django_db(transaction=True)
def test_approvals_in_several_tabs_at_once_are_one(user: AbstractBaseUser, public_client: AbstractClient) -> None:
    scopes = iter([(f"scope{number}",) for number in range(8)])

    def approve() -> None:
        remember_consent(user, public_client, **{**ASKED, "scopes": next(scopes)})

    in_parallel(approve)
    assert set(Consent.objects.get().scopes.split()) == {f"scope{number}" for number in range(8)}
