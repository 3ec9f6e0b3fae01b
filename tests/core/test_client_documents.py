"""Clients with a metadata document: what is kept of it, and by whom an id is taken."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.client_documents import is_introducible, is_stale, keep_document
from mcp_oidc.core.revocation import block_client
from mcp_oidc.models import Client, Event
from mcp_oidc.protocol.client_documents import ClientDocument, parse_client_document
from tests.core.parallel import in_parallel
from tests.core.passing import let_pass
from tests.server.documents import APP, make_document


def document_at(url: str = APP, **changes: Any) -> ClientDocument:
    return parse_client_document(make_document(url, **changes), url=url, private_schemes=())


@pytest.mark.requirement("client-document-kept")
@pytest.mark.django_db(transaction=True)
def test_parallel_first_requests_make_one_client() -> None:
    results = in_parallel(lambda: keep_document(document_at(), max_age=60, caller=Caller()))
    client = Client.objects.get()
    assert results == [client] * len(results)
    assert Event.objects.filter(kind="client.registered").count() == 1


@pytest.mark.requirement("client-document-kept")
@pytest.mark.django_db(transaction=True)
def test_parallel_changes_are_recorded_once() -> None:
    keep_document(document_at(), max_age=60, caller=Caller())
    in_parallel(lambda: keep_document(document_at(client_name="Renamed"), max_age=60, caller=Caller()))
    assert Client.objects.get().name == "Renamed"
    assert Event.objects.filter(kind="client.changed").count() == 1


@pytest.mark.requirement("client-document-stale")
def test_client_is_stale_when_its_time_is_up_and_fresh_when_its_document_was_read_again(
    db: None, caller: Caller
) -> None:
    client = keep_document(document_at(), max_age=60, caller=caller)
    assert client is not None
    assert not is_stale(client)
    let_pass(61, client)
    client.refresh_from_db()
    assert is_stale(client)
    renewed = keep_document(document_at(), max_age=60, caller=caller)
    assert renewed is not None
    assert not is_stale(renewed)


@pytest.mark.requirement("client-document-refused")
def test_client_that_was_blocked_while_its_document_was_read_stays_blocked(db: None, caller: Caller) -> None:
    client = keep_document(document_at(), max_age=60, caller=caller)
    assert client is not None
    block_client(client)
    assert keep_document(document_at(client_name="Renamed"), max_age=60, caller=caller) is None
    client.refresh_from_db()
    assert client.trust == "blocked"
    assert not is_introducible(APP)


def test_long_name_fits_its_column_and_is_kept_whole(db: None, caller: Caller) -> None:
    client = keep_document(document_at(client_name="n" * 400), max_age=60, caller=caller)
    assert client is not None
    assert (len(client.name), len(client.metadata["client_name"])) == (255, 400)
