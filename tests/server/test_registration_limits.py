"""How many may register, and who may not: over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from mcp_oidc.core.clients import clients, note_use
from mcp_oidc.core.registration_limits import MAX_TWINS
from mcp_oidc.core.revocation import block_client, unblock_client
from mcp_oidc.models import AbstractClient, ClientHost, Event
from tests.core.passing import let_pass
from tests.factories import ISSUER
from tests.server.authorizations import json_of
from tests.server.registrations import document_of, manage, post_registration, register

pytestmark = pytest.mark.django_db

HOUR = 3600


def limited(**limits: int) -> Any:
    return override_settings(MCP_OIDC={"ISSUER": ISSUER, **limits})


def client_of(known: dict[str, Any]) -> AbstractClient:
    return clients().get(client_id=known["client_id"])


def assert_too_many(response: Any) -> int:
    """The seconds after which it is worth another try."""
    assert json_of(response, 429)["error"] == "temporarily_unavailable"
    return int(response["Retry-After"])


@pytest.mark.requirement("registration-limited")
def test_address_has_a_limit_of_its_own() -> None:
    with limited(REGISTRATIONS_PER_ADDRESS=2):
        for name in ("one", "two"):
            register(client_name=name, address="192.0.2.1")
        assert HOUR - 60 < assert_too_many(post_registration("192.0.2.1", client_name="three")) <= HOUR
        register(address="192.0.2.2")
    assert clients().count() == 3


@pytest.mark.requirement("registration-limited")
def test_all_together_have_a_limit() -> None:
    with limited(REGISTRATIONS_PER_HOUR=2):
        for number in (1, 2):
            register(address=f"192.0.2.{number}")
        assert_too_many(post_registration("192.0.2.3"))


@pytest.mark.requirement("registration-limited")
def test_limit_counts_the_last_hour_and_says_when_it_is_over() -> None:
    with limited(REGISTRATIONS_PER_ADDRESS=1):
        register()
        let_pass(HOUR - 600, *Event.objects.all())
        assert 590 <= assert_too_many(post_registration()) <= 600
        let_pass(601, *Event.objects.all())
        register()


@pytest.mark.requirement("registration-limited")
def test_clients_that_are_in_use_do_not_count() -> None:
    # As for a product whose users all come from its own servers.
    with limited(REGISTRATIONS_PER_ADDRESS=1, REGISTRATIONS_PER_HOUR=1):
        for _ in range(5):
            note_use(client_of(register()))
        register()
        assert_too_many(post_registration())


@pytest.mark.requirement("registration-limited")
def test_clients_that_were_deleted_again_count() -> None:
    with limited(REGISTRATIONS_PER_ADDRESS=2):
        manage("DELETE", register())
        clients().get().delete()
        manage("DELETE", register())
        assert_too_many(post_registration())


@pytest.mark.requirement("registration-limited")
def test_updates_count_as_registrations_do() -> None:
    with limited(REGISTRATIONS_PER_ADDRESS=2):
        known = register()
        known = json_of(manage("PUT", known, document_of(known)), 200)
        assert_too_many(manage("PUT", known, document_of(known)))
        json_of(manage("GET", known), 200)


def test_zero_is_no_limit() -> None:
    with limited(REGISTRATIONS_PER_ADDRESS=0, REGISTRATIONS_PER_HOUR=0):
        for _ in range(5):
            register()


def test_address_that_nobody_knows_has_the_common_limit_only() -> None:
    # As behind a proxy that connects by a socket: all clients would share what is no address.
    with limited(REGISTRATIONS_PER_ADDRESS=1, REGISTRATIONS_PER_HOUR=3):
        for _ in range(3):
            register(address="")
        assert_too_many(post_registration(""))


def test_forwarded_address_is_not_believed() -> None:
    with limited(REGISTRATIONS_PER_ADDRESS=1):
        register()
        assert_too_many(post_registration())
    assert Event.objects.get().address == "127.0.0.1"


def test_refusal_keeps_nothing() -> None:
    with limited(REGISTRATIONS_PER_ADDRESS=1):
        register()
        for _ in range(3):
            assert_too_many(post_registration())
    assert (clients().count(), Event.objects.count()) == (1, 1)


@pytest.mark.requirement("registration-cheap")
@pytest.mark.parametrize("method", ["none", "client_secret_basic"])
def test_registration_takes_four_statements(method: str) -> None:
    for _ in range(3):
        register(token_endpoint_auth_method=method)
    with CaptureQueriesContext(connection) as queries:
        register(token_endpoint_auth_method=method)
    statements = [query["sql"] for query in queries if not query["sql"].startswith(("SAVEPOINT", "RELEASE", "BEGIN"))]
    assert len(statements) <= 4, statements


@pytest.mark.requirement("registration-blocked")
def test_twin_of_a_blocked_client_is_refused_until_it_is_unblocked() -> None:
    blocked = client_of(register())
    block_client(blocked)
    refused = post_registration("192.0.2.9")
    assert json_of(refused, 403)["error"] == "access_denied"
    event = Event.objects.get(kind="client.registered", outcome="refused")
    assert (event.reason, event.address, event.detail) == (
        "client blocked",
        "192.0.2.9",
        {"client_name": "Desktop"},
    )
    register(client_name="Somebody else")
    unblock_client(blocked)
    register()


@pytest.mark.requirement("registration-blocked")
def test_client_with_a_redirect_to_a_blocked_host_is_refused() -> None:
    ClientHost.objects.create(host="evil.example", trust=ClientHost.Trust.BLOCKED)
    ClientHost.objects.create(host="good.example", trust=ClientHost.Trust.TRUSTED)
    for uris in (["https://evil.example/cb"], ["https://good.example/cb", "https://EVIL.example:8443/cb"]):
        assert json_of(post_registration(redirect_uris=uris), 403)["error"] == "access_denied"
    register(redirect_uris=["https://good.example/cb", "https://not-evil.example/cb"])


@pytest.mark.requirement("registration-limited")
def test_refusals_of_blocked_clients_fill_no_table() -> None:
    block_client(client_of(register()))
    with limited(REGISTRATIONS_PER_ADDRESS=3):
        answers = [post_registration().status_code for _ in range(5)]
    assert answers == [403, 403, 429, 429, 429]


@pytest.mark.requirement("registration-limited")
def test_identical_clients_that_nobody_used_do_not_pile_up() -> None:
    for _ in range(3):
        old = [register() for _ in range(MAX_TWINS)]
        let_pass(HOUR + 1, *clients(), *Event.objects.all())
    used = client_of(old[0])
    note_use(used)
    elsewhere = client_of(register(address="192.0.2.9"))
    other = client_of(register(client_name="Other"))
    let_pass(HOUR + 1, *clients(), *Event.objects.all())
    young = {client_of(register()).pk for _ in range(MAX_TWINS + 1)}
    assert set(clients().values_list("pk", flat=True)) == {*young, used.pk, elsewhere.pk, other.pk}


@pytest.mark.requirement("registration-limited")
def test_identical_clients_whose_users_may_be_logging_in_stay() -> None:
    known = [register() for _ in range(3 * MAX_TWINS)]
    assert len({each["client_id"] for each in known}) == clients().count() == 3 * MAX_TWINS


def test_update_takes_no_client_for_its_own_twin() -> None:
    known = register()
    let_pass(HOUR + 1, *clients(), *Event.objects.all())
    for _ in range(MAX_TWINS):
        register()
    assert manage("PUT", known, document_of(known)).status_code == 200
