"""Finding: who is connected, with what, since when. Lists, searches, filters, and what hangs on a row."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client as Browser

from mcp_oidc.admin import decisions, pagination, searching
from mcp_oidc.core import clients
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.client_documents import keep_document
from mcp_oidc.core.identities import local_identity
from mcp_oidc.core.revocation import revoke_connection
from mcp_oidc.models import Client, Connection, Consent, Event, Identity, LoginSession
from tests.admin.pages import ask, list_url, page_url, text_of
from tests.core.test_client_documents import document_at
from tests.factories import Opened, make_metadata, open_for


@pytest.fixture
def other(opened: Opened, caller: Caller) -> Opened:
    """Bob, with a client of another host and kind."""
    uris = ["https://app.example/callback", "cursor://callback"]
    client = clients.register(make_metadata(client_name="Reports", redirect_uris=uris), caller=caller).client
    bob = get_user_model().objects.create_user("bob", "bob@example.org")
    return open_for(client, local_identity(bob), caller=caller, redirect_uri="https://app.example/callback")


def found(browser: Browser, model: type[Any], **query: str) -> set[Any]:
    """What a list shows for a query."""
    response = browser.get(list_url(model), query)
    assert response.status_code == 200, response["Location"]
    return {row.pk for row in response.context["cl"].result_list}


@pytest.mark.parametrize("word", ["Reports", "reports", "app.example", "cursor://callback", "bob", "BOB@example.org"])
def test_client_is_found_by_name_host_redirect_uri_and_user(admin_browser: Browser, other: Opened, word: str) -> None:
    assert found(admin_browser, Client, q=word) == {other.client.pk}
    assert found(admin_browser, Client, q=f"{word}?") == set()


def test_client_is_found_by_the_host_of_its_document(admin_browser: Browser, opened: Opened, caller: Caller) -> None:
    client = keep_document(document_at(), max_age=60, caller=caller)
    assert client is not None
    assert found(admin_browser, Client, q="app.example") == {client.pk}


def test_every_word_counts_and_quotes_hold_words_together(admin_browser: Browser, other: Opened) -> None:
    assert found(admin_browser, Client, q="bob reports") == {other.client.pk}
    assert found(admin_browser, Client, q="alice reports") == set()
    assert found(admin_browser, Client, q='"Test client"') != set()
    assert found(admin_browser, Client, q='"client Test"') == set()


@pytest.mark.parametrize("model", [Connection, Event])
@pytest.mark.parametrize("word", ["bob", "bob@example.org", "Reports", "id"])
def test_what_is_somebodys_is_found_by_who_and_which(
    admin_browser: Browser, other: Opened, model: type[Any], word: str
) -> None:
    word = str(other.connection.pk) if word == "id" else word
    rows = found(admin_browser, model, q=word)
    mine = {"client": other.client} if word == "Reports" else {}
    assert rows
    assert model._default_manager.filter(pk__in=rows, **mine).count() == len(rows)
    assert not model._default_manager.filter(pk__in=rows, user__username="alice").exists()


def test_event_is_found_by_its_address(admin_browser: Browser, opened: Opened) -> None:
    event = Event.objects.first()
    assert event is not None
    Event.objects.filter(pk=event.pk).update(address="2001:db8::7")
    assert found(admin_browser, Event, q="2001:DB8::7") == {event.pk}


def test_too_many_of_a_name_are_said_to_be_so(
    admin_browser: Browser, other: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "MAX_MEANT", 1)
    page = text_of(admin_browser.get(list_url(Connection), {"q": "bob"}))
    assert "More than 1 are called like that" not in page
    assert "More than 1 are called like that" in text_of(admin_browser.get(list_url(Connection), {"q": "example"}))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"redirects": "loopback"}, {"Test client"}),
        ({"redirects": "website"}, {"Reports"}),
        ({"redirects": "scheme"}, {"Reports"}),
        ({"use": "connected"}, {"Test client", "Reports"}),
        ({"use": "unused"}, {"Test client", "Reports"}),
        ({"state": "trusted"}, {"Reports"}),
        ({"registration_source__exact": "manual"}, set()),
    ],
)
def test_clients_are_filtered(admin_browser: Browser, other: Opened, query: dict[str, str], names: set[str]) -> None:
    Client.objects.filter(pk=other.client.pk).update(trust="trusted")
    rows = found(admin_browser, Client, **query)
    assert set(Client.objects.filter(pk__in=rows).values_list("name", flat=True)) == names


def test_list_of_clients_tells_what_an_operator_looks_for(admin_browser: Browser, other: Opened) -> None:
    page = text_of(admin_browser.get(list_url(Client)))
    for cell in (
        '<td class="field-host_text">app.example</td>',
        '<td class="field-redirects">scheme cursor, website</td>',
        '<td class="field-redirects">loopback</td>',
        '<td class="field-users">1</td>',
        '<td class="field-living">1</td>',
        '<td class="field-state">active</td>',
    ):
        assert cell in page, cell


def test_page_of_a_client_shows_its_users_connections_and_events(
    admin_browser: Browser, opened: Opened, identity: Identity, caller: Caller
) -> None:
    ended = open_for(opened.client, identity, caller=caller)
    revoke_connection(ended.connection.pk, "user_request")
    response = admin_browser.get(page_url(opened.client))
    panels = {panel.title: panel for panel in response.context["panels"]}
    assert [len(panels[title].rows) for title in ("Users who are connected", "Living connections")] == [1, 1]
    assert "asked for by the user" in panels["Ended connections"].rows[0]
    assert page_url(identity.user) in text_of(response)
    assert len(panels["Events"].rows) == Event.objects.filter(client=opened.client).count()
    assert found_at(admin_browser, panels["Living connections"].more_url) == {opened.connection.pk}
    assert found_at(admin_browser, panels["Ended connections"].more_url) == {ended.connection.pk}


def test_panel_is_short_and_leads_to_the_rest(
    admin_browser: Browser, opened: Opened, identity: Identity, caller: Caller
) -> None:
    for _ in range(11):
        open_for(opened.client, identity, caller=caller)
    panels = {panel.title: panel for panel in admin_browser.get(page_url(opened.client)).context["panels"]}
    living = panels["Living connections"]
    assert (len(living.rows), living.has_more) == (10, True)
    assert len(found_at(admin_browser, living.more_url)) == 12


def test_page_of_an_identity_leads_to_all_of_its_user(
    admin_browser: Browser, opened: Opened, identity: Identity, other: Opened
) -> None:
    panels = {panel.title: panel for panel in admin_browser.get(page_url(identity)).context["panels"]}
    assert found_at(admin_browser, panels["Living connections"].more_url) == {opened.connection.pk}
    events = found_at(admin_browser, panels["Events"].more_url)
    assert events
    assert not Event.objects.filter(pk__in=events).exclude(user=identity.user).exists()


@pytest.mark.parametrize("model", [Connection, Consent, Event, LoginSession])
@pytest.mark.parametrize("key", ["0", "x", "9" * 30, "\0", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"])
def test_filter_of_nobody_is_no_error(admin_browser: Browser, opened: Opened, model: type[Any], key: str) -> None:
    for name in ("of_user", "of_client", "of_identity", "of_connection_id"):
        assert admin_browser.get(list_url(model), {name: key}).status_code in (200, 302)


@pytest.mark.requirement("admin-bounded")
def test_long_list_is_counted_and_paged_to_its_bound_and_says_so(
    admin_browser: Browser, opened: Opened, identity: Identity, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "There are more than" not in text_of(admin_browser.get(list_url(Connection)))
    monkeypatch.setattr(pagination, "MAX_LISTED", 2)
    for _ in range(2):
        open_for(opened.client, identity, caller=caller)
    response = admin_browser.get(list_url(Connection))
    assert "There are more than 2" in text_of(response)
    assert response.context["cl"].result_count == 2


def test_more_than_a_page_can_decide_about_is_refused(
    admin_browser: Browser, opened: Opened, identity: Identity, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "MAX_DECIDED", 1)
    second = open_for(opened.client, identity, caller=caller)
    response: Any = ask(admin_browser, "revoke", opened.connection, second.connection)
    assert "More than 1 are selected" in text_of(admin_browser.get(response["Location"]))


def found_at(browser: Browser, url: str) -> set[Any]:
    """What a list at this address shows."""
    response = browser.get(url)
    assert response.status_code == 200, response["Location"]
    return {row.pk for row in response.context["cl"].result_list}
