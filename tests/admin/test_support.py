"""Support staff: who is in the group sees everything and takes access away, and can do no more."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError, call_command
from django.test import Client as Browser

from mcp_oidc.core.clients import Registration, find_client
from mcp_oidc.core.consents import remember_consent
from mcp_oidc.core.sessions import DjangoSession, open_session
from mcp_oidc.core.upstream_tokens import IdpTokens, keep_tokens
from mcp_oidc.models import (
    AbstractClient,
    Client,
    ClientHost,
    Connection,
    Consent,
    Dashboard,
    Event,
    Identity,
    IdpTokenSet,
    LoginSession,
    SigningKey,
)
from tests.admin.pages import add_url, decide, list_url, page_url, text_of
from tests.factories import REDIRECT_URI, RESOURCE, Opened

MODELS = [Client, ClientHost, Connection, Consent, Event, Identity, IdpTokenSet, LoginSession, SigningKey]


@pytest.fixture
def support(db: None) -> Browser:
    """The browser of somebody whose only permissions are those of the group."""
    call_command("mcp_oidc_support_group", stdout=StringIO())
    user = get_user_model().objects.create_user("support", is_staff=True)
    user.groups.add(Group.objects.get(name="MCP support"))
    browser = Browser()
    browser.force_login(user)
    return browser


@pytest.fixture
def one_of_each(opened: Opened, signing_key: object, identity: Identity) -> dict[type[Any], Any]:
    """A row of every model."""
    remember_consent(identity.user, opened.client, redirect_uri=REDIRECT_URI, resource=RESOURCE, scopes=["mcp"])
    keep_tokens(identity, IdpTokens(access_token="idp-access"))
    session = DjangoSession(key="k", lifetime=3600)
    open_session(identity, session, authenticated_at=opened.connection.created_at, sid="s", replaces=None)
    ClientHost.objects.create(host="app.example", trust="blocked")
    return {model: model._default_manager.first() for model in MODELS}


@pytest.mark.requirement("admin-support")
def test_support_sees_every_list_and_page(support: Browser, one_of_each: dict[type[Any], Any]) -> None:
    for model, row in one_of_each.items():
        assert text_of(support.get(list_url(model)))
        assert "_save" not in text_of(support.get(page_url(row)))


@pytest.mark.requirement("admin-support")
@pytest.mark.parametrize(
    ("model", "action"),
    [
        (Client, "revoke_access"),
        (Client, "block"),
        (Connection, "revoke"),
        (Consent, "withdraw"),
        (Identity, "end_connections"),
    ],
)
def test_support_takes_access_away(
    support: Browser, one_of_each: dict[type[Any], Any], model: type[Any], action: str
) -> None:
    decide(support, action, one_of_each[model])
    assert not Connection.objects.filter(revoked_at=None).exists()
    operator = get_user_model().objects.get(username="support")
    assert Event.objects.get(kind="connection.revoked").detail["operator"] == str(operator.pk)


@pytest.mark.requirement("admin-support")
def test_support_ends_logins_and_forgets_idp_tokens(support: Browser, one_of_each: dict[type[Any], Any]) -> None:
    decide(support, "end", one_of_each[LoginSession])
    decide(support, "forget_tokens", one_of_each[Identity])
    assert not LoginSession.objects.filter(ended_at=None).exists()
    assert not IdpTokenSet.objects.exists()


@pytest.mark.requirement("admin-support")
def test_support_adds_edits_trusts_unblocks_and_deletes_nothing(
    support: Browser, one_of_each: dict[type[Any], Any], confidential_client: Registration
) -> None:
    for model in MODELS:
        assert support.get(add_url(model)).status_code == 403
    for row in one_of_each.values():
        assert support.post(page_url(row), {"name": "Changed"}).status_code == 403
    client = one_of_each[Client]
    Client.objects.filter(pk=confidential_client.client.pk).update(registration_source="manual")
    before = Client.objects.get(pk=confidential_client.client.pk)
    for action, row in [
        ("trust_it", client),
        ("delete", client),
        ("replace_secret", before),
        ("forget", one_of_each[ClientHost]),
    ]:
        decide(support, action, row)
    assert find_client(client.client_id) == client
    assert not Client.objects.filter(trust=AbstractClient.Trust.TRUSTED).exists()
    assert Client.objects.get(pk=before.pk).client_secret == before.client_secret
    assert ClientHost.objects.exists()
    decide(support, "block", client)
    decide(support, "unblock", client)
    assert find_client(client.client_id) is None


def test_pages_offer_support_no_more_than_it_may_do(support: Browser, one_of_each: dict[type[Any], Any]) -> None:
    page = text_of(support.get(page_url(one_of_each[Client])))
    offered = [label for label in ("Revoke all access", "Block", "Trust", "Delete") if f'value="{label}"' in page]
    assert offered == ["Revoke all access", "Block"]


def test_group_keeps_what_else_it_has_and_takes_another_name(db: None) -> None:
    group = Group.objects.create(name="Helpdesk")
    group.permissions.add(Permission.objects.get(codename="add_group"))
    out = StringIO()
    for _ in range(2):
        call_command("mcp_oidc_support_group", "Helpdesk", stdout=out)
    names = set(group.permissions.values_list("codename", flat=True))
    assert {"add_group", "view_client", "revoke_client", "view_event", "revoke_loginsession"} <= names
    assert not [name for name in names if name.startswith(("change_", "delete_"))]
    assert "The group Helpdesk has revoke_client," in out.getvalue()


def test_command_before_migrate_says_so(db: None) -> None:
    Permission.objects.filter(content_type__app_label="mcp_oidc").delete()
    with pytest.raises(CommandError, match="migrate"):
        call_command("mcp_oidc_support_group")


def test_every_page_of_ours_is_looked_at() -> None:
    ours = {model for model in admin.site._registry if model._meta.app_label == "mcp_oidc"}
    # The dashboard is no list of rows, and has tests of its own.
    assert ours == {*MODELS, Dashboard}
