"""What holds for every page of the admin."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from oauth2_provider.models import get_access_token_model, get_grant_model, get_id_token_model, get_refresh_token_model

from mcp_oidc.core import clients
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import Registration
from mcp_oidc.core.consents import remember_consent
from mcp_oidc.core.identities import local_identity
from mcp_oidc.core.sessions import DjangoSession, open_session
from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.core.upstream_tokens import IdpTokens, keep_tokens
from mcp_oidc.models import (
    Client,
    ClientHost,
    Connection,
    Consent,
    Event,
    Identity,
    IdpTokenSet,
    LoginAttempt,
    LoginSession,
    SigningKey,
)
from tests.admin.pages import add_url, delete_url, list_url, page_url, text_of
from tests.factories import REDIRECT_URI, RESOURCE, Opened, make_metadata, open_for

SHOWN = [Client, ClientHost, Connection, Consent, Event, Identity, IdpTokenSet, LoginSession, SigningKey]
READ_ONLY = [Event, Identity, IdpTokenSet, LoginSession, SigningKey]
UNUSED = [get_access_token_model(), get_grant_model(), get_id_token_model(), get_refresh_token_model()]


@pytest.fixture
def one_of_each(opened: Opened, token_set: TokenSet, identity: Identity, confidential_client: Registration) -> None:
    """A row of every model, each with all that it may hold."""
    remember_consent(identity.user, opened.client, redirect_uri=REDIRECT_URI, resource=RESOURCE, scopes=["mcp"])
    keep_tokens(identity, IdpTokens(access_token="idp-access", refresh_token="idp-refresh", id_token="idp-id"))
    log_in(identity)
    ClientHost.objects.create(host="app.example", trust="blocked")
    Client.objects.update(registration_token="a" * 64)


def add_another_of_each(number: int, caller: Caller) -> None:
    user = get_user_model().objects.create_user(f"user-{number}")
    identity = local_identity(user)
    client = clients.register(make_metadata(client_name=f"Client {number}"), caller=caller).client
    open_for(client, identity, caller=caller)
    remember_consent(user, client, redirect_uri=REDIRECT_URI, resource=RESOURCE, scopes=["mcp"])
    keep_tokens(identity, IdpTokens(access_token="idp-access"))
    log_in(identity)
    ClientHost.objects.create(host=f"app-{number}.example", trust="trusted")


def log_in(identity: Identity) -> None:
    session = DjangoSession(key="django-session-key", lifetime=3600)
    open_session(identity, session, authenticated_at=timezone.now(), sid="idp-sid", replaces=None)


def kept_in_secret() -> list[str]:
    """Every value that no page may show."""
    hidden = {
        Client: ["client_secret", "registration_token"],
        Connection: ["salt", "code_challenge", "nonce"],
        IdpTokenSet: ["payload"],
        SigningKey: ["payload"],
        LoginSession: ["payload", "idp_session"],
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
    return [*values, "idp-access", "idp-refresh", "idp-id", "django-session-key", "idp-sid"]


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


@pytest.mark.requirement("admin-bounded")
@pytest.mark.parametrize("model", SHOWN)
def test_pages_take_as_many_queries_for_many_rows_as_for_few(
    admin_browser: Browser, one_of_each: None, caller: Caller, model: type[Any]
) -> None:
    add_another_of_each(0, caller)
    row = model._default_manager.order_by("pk").first()
    for ask in pages_of(row).values():
        # What Django reads once in a process.
        ask(admin_browser)
    few = {name: count_queries(admin_browser, ask) for name, ask in pages_of(row).items()}
    for number in range(1, 20):
        add_another_of_each(number, caller)
        # All of them hang on the first client and the first identity.
        first = Client.objects.order_by("pk").first()
        open_for(first, Identity.objects.order_by("pk")[0], caller=caller)
        remember_consent(
            get_user_model().objects.get(username=f"user-{number}"),
            first,
            redirect_uri=REDIRECT_URI,
            resource=RESOURCE,
            scopes=["mcp"],
        )
    assert {name: count_queries(admin_browser, ask) for name, ask in pages_of(row).items()} == few


def pages_of(row: Any) -> dict[str, Callable[[Browser], Any]]:
    """What an operator may ask for: a list, a search, a row, and what asks before anything happens."""
    model = type(row)
    actions = [str(name) for name in admin.site.get_model_admin(model).actions or ()]
    every = {"_selected_action": [row.pk], "select_across": "1", "index": 0}
    return {
        "list": lambda browser: browser.get(list_url(model)),
        "search": lambda browser: browser.get(list_url(model), {"q": "e"}),
        "page": lambda browser: browser.get(page_url(row)),
        **{name: partial(Browser.post, path=list_url(model), data={**every, "action": name}) for name in actions},
    }


def count_queries(browser: Browser, ask: Callable[[Browser], Any]) -> int:
    """Those of one page."""
    with CaptureQueriesContext(connection) as queries:
        text_of(ask(browser))
    return len(queries)


@pytest.mark.requirement("admin-text-is-inert")
@pytest.mark.parametrize("model", [model for model in SHOWN if model is not SigningKey])
def test_what_clients_and_people_say_is_inert_on_every_page(
    admin_browser: Browser, one_of_each: None, model: type[Any]
) -> None:
    evil = EVIL + "n" * 1000
    uri = f"https://app.example/{evil}"
    metadata = {"client_name": evil, "client_uri": uri, "logo_uri": f"javascript:{evil}", "contacts": [evil]}
    Client.objects.update(name=evil[:255], redirect_uris=uri, host=evil[:255], metadata=metadata)
    Connection.objects.update(device_name=evil[:255], redirect_uri=uri, scopes=evil, resource=evil[:1000])
    Consent.objects.update(redirect_uri=uri, scopes=evil, resource=evil)
    Identity.objects.update(sub=evil[:500], issuer=evil[:500], claims={"name": evil}, custom_data={"x": evil})
    Event.objects.update(reason=evil[:255], client_name=evil[:255], detail={"x": evil})
    get_user_model().objects.filter(username="alice").update(username=evil[:150])
    IdpTokenSet.objects.update(scopes=evil)
    row = model._default_manager.first()
    for ask in pages_of(row).values():
        page = text_of(ask(admin_browser))
        assert EVIL not in page
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert not [char for char in "\u202e\u2066\u200f" if char in page]
        assert 'href="javascript:' not in page.replace('href="javascript:;"', "")
        assert '<img src="' not in page.replace('<img src="/static/admin/', "")


EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\u202e\u2066\u200f"


@pytest.mark.parametrize("model", READ_ONLY)
def test_what_only_the_server_writes_is_read_only(admin_browser: Browser, one_of_each: None, model: type[Any]) -> None:
    row = model._default_manager.first()
    assert admin_browser.get(add_url(model)).status_code == 403
    assert admin_browser.post(page_url(row), {}).status_code == 403
    assert admin_browser.post(delete_url(row), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("model", [Event, IdpTokenSet, SigningKey])
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
