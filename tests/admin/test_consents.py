"""Consents in the admin: deleted with all that they allowed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.test import Client as Browser

from mcp_oidc.core import clients
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.consents import is_consent_needed, remember_consent
from mcp_oidc.core.identities import local_identity
from mcp_oidc.models import Connection, Consent, Event, Identity
from tests.admin.pages import add_url, ask, decide, delete_url, page_url, text_of
from tests.factories import REDIRECT_URI, RESOURCE, Opened, make_metadata, open_for


@pytest.fixture
def consent(opened: Opened, identity: Identity) -> Consent:
    """What the user of the opened connection approved for it."""
    remember_consent(identity.user, opened.client, redirect_uri=REDIRECT_URI, resource=RESOURCE, scopes=["mcp"])
    return Consent.objects.get()


def test_a_deleted_consent_ends_the_connections_of_its_user_and_client_only(
    admin_browser: Browser, consent: Consent, opened: Opened, identity: Identity, caller: Caller
) -> None:
    bob = local_identity(get_user_model().objects.create_user("bob"))
    other_user = open_for(opened.client, bob, caller=caller)
    other_client = open_for(clients.register(make_metadata(), caller=caller).client, identity, caller=caller)
    assert "Connections that end: 1" in text_of(ask(admin_browser, "withdraw", consent))
    decide(admin_browser, "withdraw", consent)
    living = set(Connection.objects.filter(revoked_at=None))
    assert living == {other_user.connection, other_client.connection}


def test_a_user_whose_consent_was_deleted_is_asked_again(
    admin_browser: Browser, consent: Consent, opened: Opened, identity: Identity, settings: LazySettings
) -> None:
    # The client is on a loopback address, which is asked for anew otherwise.
    settings.MCP_OIDC = {**settings.MCP_OIDC, "CONSENT_REMEMBER_LOCAL": True}
    wanted = {"redirect_uri": REDIRECT_URI, "resource": RESOURCE, "scopes": ["mcp"]}
    assert not is_consent_needed(identity.user, opened.client, **wanted)
    decide(admin_browser, "withdraw", consent)
    assert is_consent_needed(identity.user, opened.client, **wanted)


def test_the_deletion_is_recorded_for_the_user_with_the_operator(admin_browser: Browser, consent: Consent) -> None:
    decide(admin_browser, "withdraw", consent)
    event = Event.objects.get(kind="consent.revoked")
    assert (event.user_id, event.client_id) == (consent.user_id, consent.client_id)
    assert event.detail["operator"] == admin_browser.session["_auth_user_id"]


@pytest.mark.parametrize(("permission", "left"), [("view_consent", 1), ("change_consent", 1), ("delete_consent", 0)])
def test_only_the_delete_permission_lets_staff_delete(
    staff_browser: Callable[..., Browser], consent: Consent, permission: str, left: int
) -> None:
    decide(staff_browser(permission, "view_consent"), "withdraw", consent)
    assert Consent.objects.count() == left


def test_a_consent_is_neither_added_nor_edited_nor_deleted_without_its_connections(
    admin_browser: Browser, consent: Consent
) -> None:
    assert admin_browser.get(add_url(Consent)).status_code == 403
    assert admin_browser.post(page_url(consent), {"scopes": "everything"}).status_code == 403
    assert admin_browser.post(delete_url(consent), {"post": "yes"}).status_code == 403
    assert Consent.objects.get().scopes == "mcp"
