"""Hosts of clients that an operator trusts or blocks."""

from __future__ import annotations

import pytest

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.client_documents import keep_document
from mcp_oidc.core.client_hosts import block_host, is_host_blocked, trust_host, unblock_host
from mcp_oidc.core.clients import find_client, is_trusted, register
from mcp_oidc.models import AbstractClient, ClientHost, Connection, Event, Identity
from tests.core.test_client_documents import document_at
from tests.factories import make_metadata, open_for

HOST = "app.example"


@pytest.fixture
def documented(db: None, caller: Caller) -> AbstractClient:
    """A client with a document at the host."""
    client = keep_document(document_at(), max_age=60, caller=caller)
    assert client is not None
    return client


@pytest.mark.requirement("client-host-block")
def test_block_ends_the_connections_of_the_clients_at_that_host_only(
    documented: AbstractClient, identity: Identity, caller: Caller
) -> None:
    namesake = register(make_metadata(redirect_uris=["https://app.example/callback"]), caller=caller).client
    elsewhere = keep_document(document_at("https://other.example/client"), max_age=60, caller=caller)
    assert elsewhere is not None
    ended = [open_for(client, identity, caller=caller).connection for client in (documented, namesake)]
    other = open_for(elsewhere, identity, caller=caller).connection
    block_host(HOST, caller=caller)
    assert list(Connection.objects.filter(revoked_at=None)) == [other]
    assert {Connection.objects.get(pk=each.pk).revoked_reason for each in ended} == {"host_blocked"}
    assert (find_client(documented.client_id), find_client(namesake.client_id)) == (None, None)
    assert find_client(elsewhere.client_id) == elsewhere


@pytest.mark.requirement("client-host-block")
def test_each_decision_is_recorded_with_the_host(db: None, caller: Caller) -> None:
    block_host(HOST, note="phishing", caller=caller)
    trust_host(HOST, caller=caller)
    unblock_host(HOST, caller=caller)
    unblock_host(HOST, caller=caller)
    events = Event.objects.order_by("pk").values_list("kind", "reason", "address")
    kinds = ["host.blocked", "host.trusted", "host.unblocked"]
    assert list(events) == [(kind, HOST, caller.address) for kind in kinds]
    assert not ClientHost.objects.exists()


@pytest.mark.requirement("client-host-block")
@pytest.mark.parametrize("end", [unblock_host, trust_host])
def test_what_began_before_the_block_and_came_to_be_after_it_does_not_survive_it(
    documented: AbstractClient, identity: Identity, caller: Caller, end: object
) -> None:
    block_host(HOST, caller=caller)
    late = open_for(documented, identity, caller=caller)
    assert callable(end)
    end(HOST, caller=caller)
    assert Connection.objects.get(pk=late.connection.pk).revoked_reason == "host_blocked"
    assert not is_host_blocked(HOST)
    assert find_client(documented.client_id) == documented


@pytest.mark.requirement("client-host-trust")
def test_trust_by_host_and_by_client(documented: AbstractClient, caller: Caller) -> None:
    assert not is_trusted(documented)
    trust_host(HOST, caller=caller)
    assert is_trusted(documented)
    unblock_host(HOST, caller=caller)
    assert not is_trusted(documented)
    documented.trust = AbstractClient.Trust.TRUSTED
    assert is_trusted(documented)
