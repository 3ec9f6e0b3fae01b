"""The dashboard: what it shows, to whom, and how little it asks for it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.db import connection
from django.test import Client as Browser
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import include, path, reverse
from django.utils import timezone

from mcp_oidc.admin.dashboard import DashboardAdmin
from mcp_oidc.core.audit import Caller, record
from mcp_oidc.core.clients import clients, register
from mcp_oidc.core.identities import local_identity
from mcp_oidc.core.overview import forget_overview
from mcp_oidc.models import Client, Connection, Dashboard, Event, HourlyCount, Identity
from tests.admin.pages import list_url, page_url, text_of
from tests.factories import Opened, make_metadata, open_for
from tests.server.hostile_names import HOSTILE_NAMES

URL = "/admin/mcp_oidc/dashboard/"


def add_rows(number: int) -> None:
    """A user with a connection of a new client, a refusal, and an hour's tally."""
    user = get_user_model().objects.create_user(f"user-{number}")
    client = register(make_metadata(client_name=f"Client {number}"), caller=Caller()).client
    open_for(client, local_identity(user), caller=Caller())
    record("login", "refused", user=user, client=client)
    HourlyCount.objects.create(hour=int(time.time()) // 3600 - number, kind="login", outcome="allowed", count=1)


def words(response: Any) -> str:
    """The text of a page, with one space between its words."""
    return " ".join(re.sub(r"<[^>]+>", " ", text_of(response)).replace("\xa0", " ").split())


def content_of(page: str) -> str:
    """What is ours of a page."""
    return page[page.index('class="mcp-dashboard"') : page.index("<!-- END Content")]


def test_it_is_linked_from_the_index_and_from_the_section_of_the_app(admin_browser: Browser) -> None:
    assert list_url(Dashboard) == URL
    for page in ("admin:index", "admin:app_list"):
        url = reverse(page, kwargs={"app_label": "mcp_oidc"} if page == "admin:app_list" else None)
        assert f'href="{URL}"' in text_of(admin_browser.get(url))
    assert "<h1>Dashboard</h1>" in text_of(admin_browser.get(URL))


@pytest.mark.requirement("dashboard-bounded")
def test_it_takes_as_many_queries_for_many_rows_as_for_few(admin_browser: Browser, signing_key: Any) -> None:
    add_rows(0)
    counted = []
    for rows in (0, 10):
        for number in range(1, rows):
            add_rows(number)
        forget_overview()
        for _ in range(2):
            with CaptureQueriesContext(connection) as queries:
                text_of(admin_browser.get(URL))
            counted.append(len(queries))
    # With session, user and four of its own; three more once a minute.
    assert counted == [9, 6, 9, 6]


@pytest.mark.requirement("dashboard-permission")
def test_it_has_a_permission_of_its_own(staff_browser: Callable[..., Browser]) -> None:
    browser = staff_browser("view_event", "view_client", "view_connection")
    assert browser.get(URL).status_code == 403
    assert URL not in text_of(browser.get(reverse("admin:index")))


@pytest.mark.requirement("dashboard-permission")
@pytest.mark.parametrize(
    ("codenames", "headings"),
    [
        ([], (False, False)),
        (["view_client"], (True, False)),
        (["view_event"], (False, True)),
        (["view_client", "view_event"], (True, True)),
    ],
)
def test_it_names_clients_and_events_to_those_who_may_view_them(
    staff_browser: Callable[..., Browser], codenames: list[str], headings: tuple[bool, bool]
) -> None:
    add_rows(0)
    browser = staff_browser("view_dashboard", *codenames)
    page = text_of(browser.get(URL))
    assert ('id="busiest"' in page, 'id="refusals"' in page) == headings
    assert ("Client 0" in page) == any(headings)
    assert [model for model in (Client, Identity, Connection) if f'href="{list_url(model)}"' in page] == (
        [Client] if headings[0] else []
    )


def test_it_only_shows(admin_browser: Browser) -> None:
    assert admin_browser.post(URL).status_code == 405
    for page in ("add/", "1/change/", "1/delete/"):
        assert admin_browser.get(URL + page).status_code == 404


def test_numbers_are_those_of_living_connections(admin_browser: Browser, opened: Opened) -> None:
    add_rows(0)
    Connection.objects.filter(pk=opened.connection.pk).update(last_used_at=timezone.now() - timedelta(days=3))
    page = words(admin_browser.get(URL))
    assert "Users 2 1 Clients 2 1 Connections 2 1" in page
    assert "could make a call now, as of" in page


def test_most_active_client_leads_to_its_page(admin_browser: Browser, opened: Opened) -> None:
    page = text_of(admin_browser.get(URL))
    assert f'<a href="{page_url(opened.client)}"><bdi>Test client</bdi></a>' in page


def test_what_was_refused_leads_to_its_event(admin_browser: Browser, opened: Opened) -> None:
    record("login", "refused", reason="no such tenant", caller=Caller(address="192.0.2.7"))
    record("connection.replayed", "refused", reason="refresh_token_replayed", connection=opened.connection)
    record("client.registered", "refused", reason="client blocked")
    page = text_of(admin_browser.get(URL))
    refused = Event.objects.filter(outcome="refused")
    assert [event.kind for event in refused if f'href="{page_url(event)}"' not in page] == []
    shown = words(admin_browser.get(URL))
    for text in ("Login refused no such tenant", "192.0.2.7", "Registration refused client blocked"):
        assert text in shown
    assert "Code or token used again refresh token used again alice Test client" in shown


@pytest.mark.requirement("admin-text-is-inert")
@pytest.mark.parametrize(("name", "shown"), HOSTILE_NAMES)
def test_name_of_a_client_is_text_and_no_more(admin_browser: Browser, opened: Opened, name: str, shown: str) -> None:
    clients().update(name=name)
    record("login", "refused", reason=name, client=opened.client)
    page = text_of(admin_browser.get(URL))
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "\u202e" not in page
    assert "x" * 100 not in page


def test_charts_and_tables_tell_the_same(admin_browser: Browser) -> None:
    hour = int(time.time()) // 3600
    for back, count in ((0, 3), (5, 1234), (30, 7)):
        HourlyCount.objects.create(hour=hour - back, kind="login", outcome="allowed", count=count)
    page = text_of(admin_browser.get(URL))
    assert page.count('role="img"') == 10
    assert page.count("<rect") == page.count("<rect class") + page.count("<rect x")
    shown = words(admin_browser.get(URL))
    assert "Logins 1,237 Last 24 hours: Logins 1,237 in all, the most at" in shown
    assert "Logins 1,244 Last 30 days: Logins" in shown
    # Of each topic and period one number.
    assert page.count('<td class="mcp-number">') == (24 + 30) * 5 + 3


def test_each_drawing_has_a_title_of_its_own_and_each_table_a_caption(admin_browser: Browser, opened: Opened) -> None:
    record("login", "refused")
    page = text_of(admin_browser.get(URL))
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for labels in re.findall(r'aria-(?:labelledby|describedby)="([^"]+)"', page):
        assert set(labels.split()) <= set(ids)
    content = content_of(page)
    assert content.count("<table>") == content.count("<caption") == 5


@pytest.mark.parametrize("language", ["de", "ar"])
def test_numbers_of_a_drawing_are_the_same_in_every_language(
    admin_browser: Browser, settings: LazySettings, language: str
) -> None:
    settings.USE_THOUSAND_SEPARATOR, settings.LANGUAGE_CODE = True, language
    HourlyCount.objects.create(hour=int(time.time()) // 3600, kind="login", outcome="allowed", count=123456)
    page = text_of(admin_browser.get(URL))
    numbers = re.findall(r' (?:x|y|width|height)="([^"]*)"', content_of(page))
    assert numbers
    assert [number for number in numbers if not number.isdigit()] == []


def test_it_needs_no_script_and_no_style_of_its_own(admin_browser: Browser, opened: Opened) -> None:
    page = text_of(admin_browser.get(URL))
    content = content_of(page)
    assert [word for word in ("<script", "<style", " style=", "javascript:", " onclick") if word in content] == []
    assert [url for url in re.findall(r' (?:href|src)="([^"]*)"', content) if not url.startswith(("/", "#"))] == []
    assert finders.find("mcp_oidc/dashboard.css") is not None


def test_nobody_keeps_a_copy(admin_browser: Browser) -> None:
    assert "no-store" in admin_browser.get(URL).headers["Cache-Control"]


def test_dump_of_the_database_takes_no_notice_of_it(db: None) -> None:
    record("login", "allowed")
    out = StringIO()
    call_command("dumpdata", "mcp_oidc", stdout=out)
    assert '"mcp_oidc.event"' in out.getvalue()
    assert "dashboard" not in out.getvalue()


own_site = AdminSite(name="own")
own_site.register(Dashboard, DashboardAdmin)
urlpatterns = [path("", include("mcp_oidc.urls")), path("own/", own_site.urls)]


@pytest.mark.urls(__name__)
def test_site_of_a_project_may_have_it_without_the_other_pages(admin_browser: Browser) -> None:
    add_rows(0)
    page = text_of(admin_browser.get("/own/mcp_oidc/dashboard/"))
    assert "<h1>Dashboard</h1>" in page
    assert "Client 0" not in page
    assert 'href="/admin/' not in page


def test_view_refuses_whoever_it_is_handed_to_without_the_permission(rf: RequestFactory, opened: Opened) -> None:
    request = rf.get(URL)
    request.user = opened.connection.user
    assert not DashboardAdmin(Dashboard, own_site).has_view_permission(request)
