"""Hosts of clients in the admin: trusted or blocked with a note, and forgotten again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client as Browser

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.client_documents import keep_document
from mcp_oidc.core.clients import find_client
from mcp_oidc.models import AbstractClient, ClientHost, Connection, Event, Identity
from tests.admin.pages import add_url, ask, decide, delete_url, list_url, page_url, text_of
from tests.core.test_client_documents import document_at
from tests.factories import Opened, open_for


@pytest.fixture
def documented(identity: Identity, caller: Caller) -> Opened:
    """A connection of a client with a document at app.example."""
    client = keep_document(document_at(), max_age=60, caller=caller)
    assert isinstance(client, AbstractClient)
    return open_for(client, identity, caller=caller)


def add(browser: Browser, host: str, trust: str, note: str = "") -> int:
    return browser.post(add_url(ClientHost), {"host": host, "trust": trust, "note": note}).status_code


@pytest.mark.requirement("client-host-block")
def test_blocked_host_loses_its_connections_and_says_who_decided_why(
    admin_browser: Browser, documented: Opened
) -> None:
    assert add(admin_browser, " App.Example ", "blocked", "phishing") == 302
    rule = ClientHost.objects.get()
    assert (rule.host, rule.trust, rule.note) == ("app.example", "blocked", "phishing")
    assert not Connection.objects.filter(revoked_at=None).exists()
    operator = admin_browser.session["_auth_user_id"]
    assert Event.objects.get(kind="host.blocked").detail["operator"] == operator
    assert "phishing" in text_of(admin_browser.get(list_url(ClientHost)))


def test_decision_can_be_changed_and_its_host_cannot(admin_browser: Browser, documented: Opened) -> None:
    add(admin_browser, "app.example", "blocked")
    rule = ClientHost.objects.get()
    changes = {"host": "other.example", "trust": "trusted", "note": "our own"}
    assert admin_browser.post(page_url(rule), changes).status_code == 302
    rule.refresh_from_db()
    assert (rule.host, rule.trust, rule.note) == ("app.example", "trusted", "our own")
    assert find_client(documented.client.client_id) is not None


def test_forgotten_host_is_neither_trusted_nor_blocked(admin_browser: Browser, documented: Opened) -> None:
    add(admin_browser, "app.example", "blocked")
    rule = ClientHost.objects.get()
    assert "What was revoked stays revoked" in text_of(ask(admin_browser, "forget", rule))
    decide(admin_browser, "forget", rule)
    assert not ClientHost.objects.exists()
    assert Event.objects.filter(kind="host.unblocked").count() == 1


@pytest.mark.parametrize(
    "host",
    ["", "https://app.example", "app.example/path", "app.example:8443", "a@app.example", "app example", "app.example."],
)
def test_what_is_no_host_is_refused_on_the_page(admin_browser: Browser, host: str) -> None:
    assert add(admin_browser, host, "blocked") == 200
    assert not ClientHost.objects.exists()


@pytest.mark.parametrize(("permission", "added"), [("view_clienthost", 0), ("add_clienthost", 1)])
def test_only_the_add_permission_lets_staff_decide(
    staff_browser: Callable[..., Browser], db: None, permission: str, added: int
) -> None:
    add(staff_browser(permission, "view_clienthost"), "app.example", "trusted")
    assert ClientHost.objects.count() == added


@pytest.mark.parametrize("permissions", [("change_clienthost",), ("delete_clienthost",)])
def test_only_the_delete_permission_lets_staff_forget(
    admin_browser: Browser, staff_browser: Callable[..., Browser], permissions: tuple[str, ...]
) -> None:
    add(admin_browser, "app.example", "trusted")
    browser = staff_browser("view_clienthost", *permissions)
    decide(browser, "forget", ClientHost.objects.get())
    assert ClientHost.objects.exists() is ("delete_clienthost" not in permissions)


def test_row_is_not_deleted_past_the_decision(admin_browser: Browser) -> None:
    add(admin_browser, "app.example", "blocked")
    assert admin_browser.post(delete_url(ClientHost.objects.get()), {"post": "yes"}).status_code == 403
