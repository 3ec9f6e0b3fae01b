"""Clients in the admin: found, judged, ended, and added by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client as Browser

from mcp_oidc.core import clients
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import Registration, find_client
from mcp_oidc.core.consents import remember_consent
from mcp_oidc.core.encryption import is_secret
from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.core.verification import verify_access_token
from mcp_oidc.errors import InvalidToken
from mcp_oidc.models import AbstractClient, Client, Connection, Consent, Event, Identity
from mcp_oidc.protocol.token_exchange import TOKEN_EXCHANGE
from tests.admin.pages import add_url, ask, decide, delete_url, list_url, page_url, text_of
from tests.factories import ISSUER, REDIRECT_URI, RESOURCE, Opened, add_resource_server, make_metadata, open_for
from tests.server.authorizations import FORM


def typed(**changes: Any) -> dict[str, Any]:
    """What an operator types to add a client."""
    return {
        "name": "Reports",
        "redirect_uris": "https://reports.example.com/callback\nhttp://localhost/callback",
        "token_endpoint_auth_method": "none",
        "serves": "",
        **changes,
    }


def resource_server(**changes: Any) -> dict[str, Any]:
    """What an operator types to add a resource server."""
    return typed(
        **{"redirect_uris": "", "token_endpoint_auth_method": "client_secret_basic", "serves": "/mcp", **changes}
    )


def secret_on(page: str) -> str:
    """The secret that a page shows."""
    return page.split("<dt>Client secret</dt><dd>")[1].split("<")[0]


@pytest.mark.requirement("admin-revokes-at-once")
def test_revoking_all_access_of_a_client_makes_its_access_tokens_useless_at_once(
    admin_browser: Browser, opened: Opened, token_set: TokenSet
) -> None:
    assert verify_access_token(token_set.access_token, issuer=ISSUER, resource=RESOURCE)
    decide(admin_browser, "revoke_access", opened.client)
    with pytest.raises(InvalidToken):
        verify_access_token(token_set.access_token, issuer=ISSUER, resource=RESOURCE)


@pytest.mark.requirement("admin-asks-first")
def test_an_action_asks_first_and_says_how_many_users_lose_access(
    admin_browser: Browser, opened: Opened, identity: Identity, caller: Caller
) -> None:
    open_for(opened.client, identity, caller=caller)
    page = text_of(ask(admin_browser, "revoke_access", opened.client))
    assert "Users who lose access: 1" in page
    assert "Connections that end: 2" in page
    assert "csrfmiddlewaretoken" in page
    assert not Connection.objects.exclude(revoked_at=None).exists()


def test_the_page_that_asks_leads_to_the_deed(admin_browser: Browser, opened: Opened) -> None:
    page = ask(admin_browser, "block", opened.client)
    form = {
        "action": page.context["action"],
        "_selected_action": page.context["selected"],
        "select_across": page.context["select_across"],
        "confirmed": "yes",
    }
    admin_browser.post(list_url(Client), form)
    opened.client.refresh_from_db()
    assert opened.client.trust == AbstractClient.Trust.BLOCKED


def test_an_action_without_the_csrf_token_is_refused(opened: Opened, admin_browser: Browser) -> None:
    strict = Browser(enforce_csrf_checks=True)
    strict.cookies = admin_browser.cookies
    assert decide(strict, "revoke_access", opened.client).status_code == 403
    assert not Connection.objects.exclude(revoked_at=None).exists()


def test_all_clients_of_the_list_can_be_chosen_beyond_the_first_page(admin_browser: Browser, caller: Caller) -> None:
    rows = [clients.register(make_metadata(client_name=f"Client {n}"), caller=caller).client for n in range(60)]
    data = {"action": "block", "_selected_action": [rows[0].pk], "select_across": "1"}
    page = admin_browser.post(list_url(Client), {**data, "index": 0})
    assert "Selected clients: 60" in text_of(page)
    assert "and 40 more" in text_of(page)
    admin_browser.post(list_url(Client), {**data, "confirmed": "yes"})
    assert Client.objects.filter(trust=AbstractClient.Trust.BLOCKED).count() == 60


def test_a_blocked_client_is_unknown_until_it_is_unblocked(admin_browser: Browser, opened: Opened) -> None:
    decide(admin_browser, "block", opened.client)
    assert find_client(opened.client.client_id) is None
    decide(admin_browser, "unblock", opened.client)
    assert find_client(opened.client.client_id) is not None


def test_blocking_a_client_ends_its_connections_and_unblocking_does_not_bring_them_back(
    admin_browser: Browser, opened: Opened, token_set: TokenSet
) -> None:
    decide(admin_browser, "block", opened.client)
    decide(admin_browser, "unblock", opened.client)
    with pytest.raises(InvalidToken):
        verify_access_token(token_set.access_token, issuer=ISSUER, resource=RESOURCE)


@pytest.mark.requirement("admin-tombstone")
def test_a_deleted_client_leaves_a_tombstone_that_keeps_its_id(admin_browser: Browser, opened: Opened) -> None:
    decide(admin_browser, "delete", opened.client)
    assert find_client(opened.client.client_id) is None
    tombstone = Client.objects.get(client_id=opened.client.client_id)
    assert tombstone.deleted_at is not None
    assert not tombstone.connections.filter(revoked_at=None).exists()


def test_a_deleted_client_is_listed_only_when_it_is_asked_for(
    admin_browser: Browser, public_client: AbstractClient
) -> None:
    decide(admin_browser, "delete", public_client)
    assert public_client.client_id not in text_of(admin_browser.get(list_url(Client)))
    assert public_client.client_id in text_of(admin_browser.get(list_url(Client), {"state": "deleted"}))


def test_revoking_forgets_what_users_approved(admin_browser: Browser, opened: Opened, identity: Identity) -> None:
    remember_consent(identity.user, opened.client, redirect_uri=REDIRECT_URI, resource=RESOURCE, scopes=["mcp"])
    decide(admin_browser, "revoke_access", opened.client)
    assert not Consent.objects.exists()


@pytest.mark.requirement("admin-is-recorded")
@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("revoke_access", "client.revoked"),
        ("block", "client.blocked"),
        ("delete", "client.deleted"),
    ],
)
def test_a_decision_is_recorded_with_the_operator(
    admin_browser: Browser, opened: Opened, action: str, kind: str
) -> None:
    decide(admin_browser, action, opened.client)
    operator = admin_browser.session["_auth_user_id"]
    event = Event.objects.get(kind=kind)
    assert (event.client_id, event.detail["operator"]) == (opened.client.pk, operator)
    assert Event.objects.get(kind="connection.revoked").detail["operator"] == operator
    assert LogEntry.objects.filter(object_id=str(opened.client.pk), user_id=operator).exists()


def test_unblocking_is_recorded_once_and_only_for_a_blocked_client(
    admin_browser: Browser, public_client: AbstractClient
) -> None:
    decide(admin_browser, "unblock", public_client)
    assert not Event.objects.filter(kind="client.unblocked").exists()
    decide(admin_browser, "block", public_client)
    decide(admin_browser, "unblock", public_client)
    assert Event.objects.filter(kind="client.unblocked").count() == 1


def test_staff_with_the_change_permission_may_revoke(staff_browser: Callable[..., Browser], opened: Opened) -> None:
    decide(staff_browser("change_client"), "revoke_access", opened.client)
    assert Connection.objects.get().revoked_reason == "revoked_by_admin"


@pytest.mark.parametrize("action", ["revoke_access", "block", "unblock", "delete"])
def test_staff_who_may_only_look_may_not_act(
    staff_browser: Callable[..., Browser], opened: Opened, action: str
) -> None:
    browser = staff_browser("view_client")
    assert text_of(browser.get(page_url(opened.client))).count('name="_selected_action"') == 0
    decide(browser, action, opened.client)
    opened.client.refresh_from_db()
    assert opened.client.is_alive
    assert not Connection.objects.exclude(revoked_at=None).exists()


def test_staff_with_the_change_permission_may_not_delete(
    staff_browser: Callable[..., Browser], public_client: AbstractClient
) -> None:
    decide(staff_browser("change_client"), "delete", public_client)
    assert find_client(public_client.client_id) is not None


def test_a_client_cannot_be_deleted_past_the_tombstone(admin_browser: Browser, public_client: AbstractClient) -> None:
    assert admin_browser.post(delete_url(public_client), {"post": "yes"}).status_code == 403
    assert Client.objects.get().deleted_at is None


def test_the_page_of_a_client_offers_what_makes_sense_for_it(
    admin_browser: Browser, public_client: AbstractClient
) -> None:
    page = text_of(admin_browser.get(page_url(public_client)))
    assert ('value="Block"' in page, 'value="Unblock"' in page) == (True, False)
    decide(admin_browser, "block", public_client)
    page = text_of(admin_browser.get(page_url(public_client)))
    assert ('value="Block"' in page, 'value="Unblock"' in page) == (False, True)
    decide(admin_browser, "delete", public_client)
    assert 'name="_selected_action"' not in text_of(admin_browser.get(page_url(public_client)))


def test_a_client_that_registered_itself_cannot_be_edited(
    admin_browser: Browser, public_client: AbstractClient
) -> None:
    assert 'name="redirect_uris"' not in text_of(admin_browser.get(page_url(public_client)))
    response = admin_browser.post(page_url(public_client), typed())
    assert response.status_code == 403
    public_client.refresh_from_db()
    assert public_client.name == "Test client"


def test_an_operator_adds_a_public_client_that_can_be_used(admin_browser: Browser) -> None:
    response = admin_browser.post(add_url(Client), typed())
    assert response.status_code == 302
    client = Client.objects.get()
    assert find_client(client.client_id) == client
    assert (client.registration_source, client.is_public, client.client_secret) == ("manual", True, "")
    assert clients.find_redirect_uri(client, "http://localhost:5005/callback") == "http://localhost:5005/callback"
    assert Event.objects.get(kind="client.registered").detail["operator"] == admin_browser.session["_auth_user_id"]


def test_the_secret_of_an_added_client_is_shown_once_and_kept_only_as_a_hash(admin_browser: Browser) -> None:
    form = typed(token_endpoint_auth_method="client_secret_basic")
    response = admin_browser.post(add_url(Client), form)
    client = Client.objects.get()
    secret = secret_on(text_of(response))
    assert is_secret(secret, client.client_secret)
    assert "no-store" in response["Cache-Control"]
    assert secret not in str(response.cookies) + str(dict(admin_browser.session))
    for url in (list_url(Client), page_url(client)):
        assert secret not in text_of(admin_browser.get(url))


@pytest.mark.parametrize(
    ("uris", "reason"),
    [
        ("javascript:alert(1)", "the scheme javascript is not allowed"),
        ("http://reports.example.com/callback", "http is only allowed for localhost"),
        ("https://reports.example.com/callback\nunknown-app://callback", "Entry 2 of redirect_uris is not allowed"),
        ("https://*.example.com/callback", "a wildcard"),
        ("https://reports.example.com/#callback", "a fragment"),
        ("", "This field is required"),
    ],
)
def test_a_redirect_uri_that_registration_would_refuse_is_refused_with_its_reason(
    admin_browser: Browser, uris: str, reason: str
) -> None:
    assert reason in text_of(admin_browser.post(add_url(Client), typed(redirect_uris=uris)))
    assert not Client.objects.exists()


@pytest.mark.requirement("introspection-resource")
def test_an_operator_adds_a_resource_server_which_introspects(
    admin_browser: Browser, token_set: TokenSet, opened: Opened
) -> None:
    page = text_of(admin_browser.post(add_url(Client), resource_server(serves=" /mcp\n\n/mcp/plain \n/mcp")))
    server = Client.objects.get(registration_source="manual")
    assert (server.serves, server.redirect_uris, server.grant_types) == ("/mcp\n/mcp/plain", "", [])
    secret = secret_on(page)
    asked = {"client_id": server.client_id, "client_secret": secret, "token": token_set.access_token}
    answer = Browser().post("/token/introspection", urlencode(asked), content_type=FORM).json()
    assert (answer["active"], answer["client_id"]) == (True, opened.client.client_id)


@pytest.mark.parametrize(
    "serves", ["/mcp/", "/other", "mcp", "https://elsewhere.example/mcp", "/mcp\n/other", "/mcp /MCP"]
)
def test_a_resource_that_is_not_in_the_settings_is_refused_with_those_that_are(
    admin_browser: Browser, serves: str
) -> None:
    page = text_of(admin_browser.post(add_url(Client), resource_server(serves=serves)))
    names_wrong = serves.split()[-1]
    assert f"MCP_OIDC[&#x27;RESOURCES&#x27;] names no {names_wrong}, but /mcp, /mcp/plain." in page
    assert "This field is required" not in page
    assert not Client.objects.exists()


def test_a_resource_is_named_by_its_url_too(admin_browser: Browser) -> None:
    admin_browser.post(add_url(Client), resource_server(serves=RESOURCE))
    assert Client.objects.get().serves == RESOURCE


@pytest.mark.requirement("introspection-authenticated")
def test_a_client_without_a_secret_is_made_no_resource_server(admin_browser: Browser) -> None:
    refusal = "Only a client with a secret may introspect."
    page = text_of(admin_browser.post(add_url(Client), typed(serves="/mcp")))
    assert refusal in page
    assert not Client.objects.exists()
    # Nor later, whatever method is sent along: it cannot be changed any more.
    admin_browser.post(add_url(Client), typed())
    client = Client.objects.get()
    form = typed(serves="/mcp", token_endpoint_auth_method="client_secret_basic")
    assert refusal in text_of(admin_browser.post(page_url(client), form))
    assert Client.objects.get().serves == ""


def test_a_resource_server_is_edited(admin_browser: Browser) -> None:
    admin_browser.post(add_url(Client), resource_server())
    server = Client.objects.get()
    admin_browser.post(page_url(server), resource_server(name="Renamed", serves="/mcp/plain"))
    changed = Client.objects.get()
    assert (changed.name, changed.serves, changed.client_secret) == ("Renamed", "/mcp/plain", server.client_secret)
    # It may become an app, too; and is nothing at all without resources and redirect URIs.
    admin_browser.post(page_url(server), resource_server(redirect_uris="cursor://callback"))
    assert Client.objects.get().grant_types == ["authorization_code", "refresh_token"]
    assert "This field is required" in text_of(admin_browser.post(page_url(server), resource_server(serves="")))
    admin_browser.post(page_url(server), resource_server(redirect_uris="cursor://callback", serves=""))
    assert Client.objects.get().serves == ""


@pytest.mark.requirement("exchange-operator-only")
def test_token_exchange_is_off_until_an_operator_ticks_it(admin_browser: Browser) -> None:
    admin_browser.post(add_url(Client), resource_server(exchanges="on"))
    server = Client.objects.get()
    assert server.grant_types == [TOKEN_EXCHANGE]
    assert admin_browser.get(page_url(server)).context["adminform"].form["exchanges"].value() is True
    # As an app, too, and off again.
    admin_browser.post(page_url(server), resource_server(exchanges="on", redirect_uris="cursor://callback"))
    assert Client.objects.get().grant_types == ["authorization_code", "refresh_token", TOKEN_EXCHANGE]
    admin_browser.post(page_url(server), resource_server(redirect_uris="cursor://callback"))
    assert Client.objects.get().grant_types == ["authorization_code", "refresh_token"]
    admin_browser.post(page_url(server), resource_server())
    assert Client.objects.get().grant_types == []
    # The audit tells of each, and who did it.
    told = Event.objects.filter(client=server).order_by("pk")
    assert [event.detail["exchanges_tokens"] for event in told] == [True, True, False, False]
    assert all(event.detail["operator"] for event in told)


@pytest.mark.requirement("exchange-operator-only")
def test_token_exchange_is_for_resource_servers_only(admin_browser: Browser) -> None:
    form = typed(token_endpoint_auth_method="client_secret_basic", exchanges="on")
    assert "Only a client that serves resources may exchange tokens." in text_of(
        admin_browser.post(add_url(Client), form)
    )
    assert not Client.objects.exists()


@pytest.mark.requirement("introspection-operator-only")
def test_a_client_that_registered_itself_is_made_no_resource_server(
    admin_browser: Browser, confidential_client: Registration
) -> None:
    page = page_url(confidential_client.client)
    assert 'name="serves"' not in text_of(admin_browser.get(page))
    assert admin_browser.post(page, resource_server()).status_code == 403
    assert Client.objects.get().serves == ""


def test_staff_who_may_only_look_see_what_is_served_and_change_nothing(
    staff_browser: Callable[..., Browser],
) -> None:
    server = add_resource_server("/mcp").client
    browser = staff_browser("view_client")
    page = text_of(browser.get(page_url(server)))
    assert "/mcp" in page
    assert "Token exchange" in page
    assert 'name="exchanges"' not in page
    assert browser.post(page_url(server), resource_server(serves="/mcp/plain")).status_code == 403
    assert Client.objects.get().serves == "/mcp"


def test_an_added_client_is_edited_by_the_same_rules(admin_browser: Browser) -> None:
    admin_browser.post(add_url(Client), typed())
    client = Client.objects.get()
    refused = admin_browser.post(page_url(client), typed(redirect_uris="file:///etc/passwd"))
    assert "the scheme file is not allowed" in text_of(refused)
    admin_browser.post(page_url(client), typed(name="New name", redirect_uris="cursor://callback"))
    client.refresh_from_db()
    assert (client.name, client.redirect_uris) == ("New name", "cursor://callback")
    assert client.metadata["redirect_uris"] == ["cursor://callback"]


def test_editing_does_not_change_how_a_client_authenticates(admin_browser: Browser) -> None:
    admin_browser.post(add_url(Client), typed(token_endpoint_auth_method="client_secret_post"))
    client = Client.objects.get()
    admin_browser.post(page_url(client), typed(name="New name", token_endpoint_auth_method="none"))
    changed = Client.objects.get()
    assert (changed.name, changed.token_endpoint_auth_method) == ("New name", "client_secret_post")
    assert changed.client_secret == client.client_secret


def test_editing_does_not_undo_a_block_that_came_in_between(admin_browser: Browser) -> None:
    admin_browser.post(add_url(Client), typed())
    stale = Client.objects.get()
    decide(admin_browser, "block", stale)
    clients.change_client(stale, make_metadata(client_name="New name"), caller=Caller())
    changed = Client.objects.get()
    assert (changed.name, changed.trust) == ("New name", AbstractClient.Trust.BLOCKED)


@pytest.mark.requirement("admin-text-is-inert")
def test_what_a_client_says_of_itself_is_shown_as_text(admin_browser: Browser, caller: Caller) -> None:
    markup = "<script>alert(1)</script>\u202e"
    client = clients.register(make_metadata(client_name=markup, contacts=[markup]), caller=caller).client
    for response in (
        admin_browser.get(list_url(Client)),
        admin_browser.get(page_url(client)),
        ask(admin_browser, "block", client),
    ):
        page = text_of(response)
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


def test_a_long_name_is_cut_in_the_list(admin_browser: Browser, caller: Caller) -> None:
    clients.register(make_metadata(client_name="n" * 255), caller=caller)
    page = text_of(admin_browser.get(list_url(Client)))
    assert ">" + "n" * 39 + "…<" in page


def test_a_client_is_found_by_name_id_and_redirect_uri(
    admin_browser: Browser, public_client: AbstractClient, confidential_client: Registration
) -> None:
    Client.objects.filter(pk=confidential_client.client.pk).update(name="Other", redirect_uris="cursor://other")
    for term in ("Other", confidential_client.client.client_id, "cursor://other"):
        page = text_of(admin_browser.get(list_url(Client), {"q": term}))
        assert confidential_client.client.client_id in page
        assert public_client.client_id not in page


def test_the_list_counts_the_users_who_are_connected_now(
    admin_browser: Browser, opened: Opened, identity: Identity, caller: Caller
) -> None:
    open_for(opened.client, identity, caller=caller)
    assert '<td class="field-users">1</td>' in text_of(admin_browser.get(list_url(Client)))
    decide(admin_browser, "revoke_access", opened.client)
    assert '<td class="field-users">0</td>' in text_of(admin_browser.get(list_url(Client)))
