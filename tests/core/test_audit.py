"""The audit: who, what, when and with which outcome, in values that every database takes."""

from __future__ import annotations

import logging
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.test import RequestFactory
from django.utils import timezone

from mcp_oidc import signals
from mcp_oidc.core.audit import Caller, record
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.models import AbstractClient, Event
from tests.factories import Opened

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:192.0.2.7", "::ffff:c000:207"),
        ("fe80::1%eth0", "fe80::1"),
        ("", None),
        ("unix:", None),
        ("192.0.2.7, 198.51.100.1", None),
        ("testclient\0", None),
    ],
)
def test_address_of_any_form_is_kept_or_left_out(rf: RequestFactory, address: str, expected: str | None) -> None:
    caller = Caller.of(rf.get("/", REMOTE_ADDR=address))
    record(Kind.CLIENT_CHANGED, Outcome.ALLOWED, caller=caller)
    for kept in (caller.address, Event.objects.get().address):
        # One address has several spellings.
        assert (kept and ip_address(kept)) == (expected and ip_address(expected))


@pytest.mark.requirement("no-forwarded-headers")
def test_headers_of_a_proxy_are_not_believed(rf: RequestFactory) -> None:
    headers = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Real-IP": "203.0.113.9"}
    assert Caller.of(rf.get("/", headers=headers)).address == "127.0.0.1"


def test_agent_is_cut_and_printable(rf: RequestFactory) -> None:
    caller = Caller.of(rf.get("/", headers={"User-Agent": "a\0b\x1b[31m\u00e9\r\n" + "x" * 1000}))
    assert caller.agent.startswith("a?b?[31m")
    assert len(caller.agent) == 255
    record(Kind.CLIENT_CHANGED, Outcome.ALLOWED, caller=caller)
    assert Event.objects.get().agent == caller.agent


def test_event_of_a_connection_names_its_user_and_client(opened: Opened, caller: Caller) -> None:
    Event.objects.all().delete()
    record(
        Kind.CLIENT_CHANGED,
        Outcome.ALLOWED,
        reason="r" * 300,
        connection=opened.connection,
        caller=caller,
        detail={"a": 1},
    )
    event = Event.objects.get()
    assert (event.user_id, event.client_id) == (opened.connection.user_id, opened.client.pk)
    assert (event.connection_id, event.subject) == (opened.connection.pk, opened.connection.subject)
    assert (event.reason, event.detail) == ("r" * 255, {"a": 1})
    assert timezone.now() - event.created_at < timedelta(seconds=60)


def test_event_outlives_what_it_tells_of(opened: Opened, user: AbstractBaseUser) -> None:
    record(Kind.CLIENT_CHANGED, Outcome.ALLOWED, connection=opened.connection, client=opened.client)
    user.delete()
    opened.client.delete()
    event = Event.objects.get(kind="client.changed")
    assert (event.user_id, event.client_id, event.client_name) == (None, None, "Test client")
    assert event.connection_id == opened.connection.pk


def test_operator_of_the_admin_is_kept(public_client: AbstractClient) -> None:
    record(Kind.CLIENT_CHANGED, Outcome.ALLOWED, client=public_client, caller=Caller(operator="7"), detail={"a": 1})
    assert Event.objects.get(kind="client.changed").detail == {"a": 1, "operator": "7"}


@pytest.mark.django_db(transaction=True)
def test_signal_and_log_line_follow_the_commit(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Event] = []

    def hear(sender: Any, event: Event, **kwargs: Any) -> None:
        heard.append(event)

    signals.event_recorded.connect(hear)
    try:
        with caplog.at_level(logging.INFO, "mcp_oidc.audit"):
            with transaction.atomic():
                record(Kind.LOGIN, Outcome.REFUSED, reason="because")
                assert heard == []
            assert "login refused" in caplog.text
            with transaction.atomic():
                record(Kind.LOGOUT, Outcome.REVOKED)
                transaction.set_rollback(True)
    finally:
        signals.event_recorded.disconnect(hear)
    (event,) = heard
    assert (event.kind, event.outcome, event.reason) == ("login", "refused", "because")
    assert timezone.now() - event.created_at < timedelta(seconds=60)
    assert "logout" not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_receiver_that_fails_undoes_nothing() -> None:
    def fail(sender: Any, **kwargs: Any) -> None:
        raise RuntimeError("a receiver of the project")

    signals.event_recorded.connect(fail)
    try:
        record(Kind.CLIENT_CHANGED, Outcome.ALLOWED)
    finally:
        signals.event_recorded.disconnect(fail)
    assert Event.objects.filter(kind="client.changed").exists()
