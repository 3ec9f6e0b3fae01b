"""What holds for every page of the admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from oauth2_provider.models import get_access_token_model, get_grant_model, get_id_token_model, get_refresh_token_model

from mcp_oidc.core import clients
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import Registration
from mcp_oidc.core.consents import remember_consent
from mcp_oidc.core.identities import local_identity
from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.core.upstream_tokens import IdpTokens, keep_tokens
from mcp_oidc.models import Client, Connection, Consent, Event, Identity, IdpTokenSet, LoginAttempt, SigningKey
from tests.admin.pages import add_url, delete_url, list_url, page_url, text_of
from tests.factories import REDIRECT_URI, RESOURCE, Opened, make_metadata, open_for

SHOWN = [Client, Connection, Consent, Event, Identity, IdpTokenSet, SigningKey]
READ_ONLY = [Event, Identity, IdpTokenSet, SigningKey]
UNUSED = [get_access_token_model(), get_grant_model(), get_id_token_model(), get_refresh_token_model()]


@pytest.fixture
def one_of_each(opened: Opened, token_set: TokenSet, identity: Identity, confidential_client: Registration) -> None:
    """A row of every model, each with all that it may hold."""
    remember_consent(identity.user, opened.client, redirect_uri=REDIRECT_URI, resource=RESOURCE, scopes=["mcp"])
    keep_tokens(identity, IdpTokens(access_token="idp-access", refresh_token="idp-refresh", id_token="idp-id"))
    Client.objects.update(registration_token="a" * 64)


def add_another_of_each(number: int, caller: Caller) -> None:
    user = get_user_model().objects.create_user(f"user-{number}")
    identity = local_identity(user)
    client = clients.register(make_metadata(client_name=f"Client {number}"), caller=caller).client
    open_for(client, identity, caller=caller)
    remember_consent(user, client, redirect_uri=REDIRECT_URI, resource=RESOURCE, scopes=["mcp"])
    keep_tokens(identity, IdpTokens(access_token="idp-access"))


def kept_in_secret() -> list[str]:
    """Every value that no page may show."""
    hidden = {
        Client: ["client_secret", "registration_token"],
        Connection: ["salt", "code_challenge", "nonce"],
        IdpTokenSet: ["payload"],
        SigningKey: ["payload"],
        Consent: ["fingerprint"],
        Identity: ["fingerprint"],
    }
    values = [
        value
        for model, names in hidden.items()
        for row in model._default_manager.values_list(*names)
        for value in row
        if value
    ]
    return [*values, "idp-access", "idp-refresh", "idp-id"]


@pytest.mark.requirement("admin-shows-no-secret")
@pytest.mark.parametrize("model", SHOWN)
def test_no_page_shows_a_secret_a_hash_a_salt_or_a_payload(
    admin_browser: Browser, one_of_each: None, model: type[Any]
) -> None:
    secrets = kept_in_secret()
    assert len(secrets) >= 12
    rows = list(model._default_manager.all())
    assert rows
    for url in (list_url(model), *map(page_url, rows)):
        page = text_of(admin_browser.get(url))
        assert [secret for secret in secrets if secret in page] == []


@pytest.mark.parametrize("model", SHOWN)
def test_a_list_takes_as_many_queries_for_many_rows_as_for_few(
    admin_browser: Browser,
    one_of_each: None,
    caller: Caller,
    model: type[Any],
) -> None:
    with CaptureQueriesContext(connection) as few:
        admin_browser.get(list_url(model))
    for number in range(10):
        add_another_of_each(number, caller)
    with CaptureQueriesContext(connection) as many:
        text_of(admin_browser.get(list_url(model)))
    assert len(many) == len(few)


@pytest.mark.parametrize("model", READ_ONLY)
def test_what_only_the_server_writes_is_read_only(admin_browser: Browser, one_of_each: None, model: type[Any]) -> None:
    row = model._default_manager.first()
    assert admin_browser.get(add_url(model)).status_code == 403
    assert admin_browser.post(page_url(row), {}).status_code == 403
    assert admin_browser.post(delete_url(row), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("model", [model for model in READ_ONLY if model is not Identity])
def test_what_nobody_decides_about_has_no_actions(admin_browser: Browser, one_of_each: None, model: type[Any]) -> None:
    assert '<select name="action"' not in text_of(admin_browser.get(list_url(model)))


@pytest.mark.parametrize("model", SHOWN)
def test_every_list_can_be_searched_for_anything(admin_browser: Browser, one_of_each: None, model: type[Any]) -> None:
    for term in ("alice", "no such thing", "'", '"', "%", "2001:db8::1", "ünï\u202e"):
        text_of(admin_browser.get(list_url(model), {"q": term}))


def test_the_index_names_what_is_kept_and_none_of_the_tables_that_stay_empty(admin_browser: Browser) -> None:
    index = text_of(admin_browser.get(reverse("admin:index")))
    assert [model for model in SHOWN if list_url(model) not in index] == []
    assert [model for model in [*UNUSED, LoginAttempt] if f"/{model._meta.model_name}/" in index] == []


@pytest.mark.parametrize("model", UNUSED)
def test_the_tables_that_stay_empty_have_no_page(admin_browser: Browser, model: type[Any]) -> None:
    assert admin_browser.get(list_url(model)).status_code == 403
    assert admin_browser.get(add_url(model)).status_code == 403


def test_an_operator_can_delete_a_user_with_all_that_hangs_on_them(
    admin_browser: Browser, one_of_each: None, opened: Opened
) -> None:
    user = opened.connection.user
    response = admin_browser.post(delete_url(user), {"post": "yes"})
    assert response.status_code == 302
    assert not get_user_model().objects.filter(pk=user.pk).exists()
    assert not Connection.objects.exists()
    assert Event.objects.filter(connection_id=opened.connection.pk).exists()
