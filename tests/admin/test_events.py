"""The page of events: filtered by what reviewers ask for, exported as CSV, and nothing to edit."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.handlers.asgi import ASGIRequest
from django.db import connection, connections
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from mcp_oidc.admin import event_export
from mcp_oidc.admin.event_export import COLUMNS, export_events
from mcp_oidc.core.audit import Caller, record
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.models import AbstractClient, Event
from tests.admin.pages import list_url, text_of
from tests.factories import Opened

EXPORT = "admin:mcp_oidc_event_export"


def export(browser: Browser, **filters: str) -> list[dict[str, str]]:
    response: Any = browser.get(reverse(EXPORT), filters)
    assert response.status_code == 200
    assert response["Content-Disposition"] == 'attachment; filename="events.csv"'
    assert "no-store" in response["Cache-Control"]
    return rows_of(b"".join(response.streaming_content))


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def tell(reason: str = "", *, agent: str = "", **about: Any) -> None:
    record(Kind.LOGIN, Outcome.REFUSED, reason=reason, caller=Caller(address="192.0.2.7", agent=agent), **about)


@pytest.mark.requirement("audit-exported")
def test_export_holds_every_column(admin_browser: Browser, opened: Opened, user: AbstractBaseUser) -> None:
    (row,) = export(admin_browser, kind="connection.approved")
    assert tuple(row) == COLUMNS
    assert row["kind"], row["outcome"] == ("connection.approved", "allowed")
    assert (row["user_id"], row["user"]) == (str(user.pk), "alice")
    assert (row["client_id"], row["client_name"]) == (opened.client.client_id, "Test client")
    assert row["connection_id"] == str(opened.connection.pk)
    assert row["detail"] == '{"resource": "http://testserver/mcp", "scopes": "openid mcp notes:write"}'
    assert row["time"] == Event.objects.get(kind="connection.approved").created_at.isoformat()


@pytest.mark.requirement("audit-exported")
def test_export_holds_what_the_list_has_filtered(admin_browser: Browser, opened: Opened) -> None:
    tell("one")
    assert [row["reason"] for row in export(admin_browser, outcome="refused")] == ["one"]
    assert {row["kind"] for row in export(admin_browser, topic="connection")} == {"connection.approved"}
    assert [row["kind"] for row in export(admin_browser, q="alice")] == ["connection.approved"]
    assert export(admin_browser, created_at__gte="2999-01-01 00:00:00+00:00") == []
    assert len(export(admin_browser)) == Event.objects.count()


def test_page_leads_to_the_export_of_what_it_shows(admin_browser: Browser) -> None:
    tell()
    page = text_of(admin_browser.get(list_url(Event), {"kind": "login", "q": "a&b"}))
    assert 'href="export/?kind=login&amp;q=a%26b"' in page


@pytest.mark.requirement("audit-exported")
@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_cell_is_a_formula(admin_browser: Browser, public_client: AbstractClient, text: str) -> None:
    public_client.name = text
    tell(text, agent=text, client=public_client)
    (row,) = export(admin_browser, kind="login")
    assert row["reason"] == row["agent"] == row["client_name"] == f"'{text}"


@pytest.mark.requirement("audit-exported")
@pytest.mark.parametrize("text", ["x;=1+1;y", "x|=1+1", "\uff1d1+1"])
def test_no_cell_is_a_formula_for_spreadsheets_that_separate_by_something_else(
    admin_browser: Browser, text: str
) -> None:
    tell(text, agent=text)
    (row,) = export(admin_browser, kind="login")
    for part in re.split("[;|]", row["reason"]):
        assert not part.startswith(("=", "\uff1d"))


@pytest.mark.parametrize("text", ['a,"b"\r\nc', "ünï\u202e", "a=b"])
def test_other_texts_come_back_as_they_are(admin_browser: Browser, text: str) -> None:
    tell(text)
    assert export(admin_browser, kind="login")[0]["reason"] == text


def test_export_needs_the_permission_to_view(staff_browser: Callable[..., Browser], db: None) -> None:
    assert staff_browser("view_client").get(reverse(EXPORT)).status_code == 403


def test_permission_to_view_is_enough(staff_browser: Callable[..., Browser], db: None) -> None:
    tell("one")
    assert [row["reason"] for row in export(staff_browser("view_event"))] == ["one"]


def test_export_is_read_and_nothing_else(admin_browser: Browser) -> None:
    assert admin_browser.post(reverse(EXPORT)).status_code == 405
    assert admin_browser.get(reverse(EXPORT), {"created_at__gte": "nonsense"}).status_code == 404


@pytest.mark.requirement("audit-exported")
def test_export_reads_in_batches_and_misses_none(admin_browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_export, "BATCH_SIZE", 3)
    for number in range(7):
        tell(str(number))
    response: Any = admin_browser.get(reverse(EXPORT), {"kind": "login"})
    with CaptureQueriesContext(connection) as queries:
        chunks = list(response.streaming_content)
    assert [len(rows_of(chunk)) + 1 for chunk in chunks[1:]] == [3, 3, 1]
    assert len(queries) == 4
    assert all("LIMIT 3" in query["sql"] for query in queries)
    assert [row["reason"] for row in rows_of(b"".join(chunks))] == list("6543210")


@pytest.mark.django_db(transaction=True)
def test_export_is_streamed_where_asgi_is_served() -> None:
    tell("one")

    async def read() -> bytes:
        request = ASGIRequest({"type": "http", "method": "GET", "path": "/", "headers": []}, io.BytesIO())
        response: Any = export_events(request, Event.objects.all())
        assert response.is_async
        try:
            return b"".join([chunk async for chunk in response])
        finally:
            # As the handler does when the response is closed, in the thread that read.
            await sync_to_async(connections.close_all)()

    assert [row["reason"] for row in rows_of(asyncio.run(read()))] == ["one"]
