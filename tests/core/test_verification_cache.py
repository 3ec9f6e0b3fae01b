"""VERIFICATION_CACHE and the memory of checked signatures: what they save, and what they never let pass."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from mcp_oidc.core import checked_tokens, client_hosts, living, revocation
from mcp_oidc.core.clients import clients
from mcp_oidc.core.key_rotation import replace_keys
from mcp_oidc.core.keys import UnknownKey, forget_keys, key_ring
from mcp_oidc.core.living_cache import LivingRow, forget_living
from mcp_oidc.core.sightings import wait_for_sightings
from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.core.verification import Principal, averify_access_token, verify_access_token
from mcp_oidc.errors import InvalidToken
from mcp_oidc.models import Connection
from mcp_oidc.protocol import access_tokens
from mcp_oidc.protocol.jwks import generate_jwk
from tests.factories import ISSUER, RESOURCE, Opened

# In a transaction nothing is remembered.
pytestmark = pytest.mark.django_db(transaction=True)

SECONDS = 20


@pytest.fixture(autouse=True)
def _told() -> Iterator[None]:
    yield
    assert wait_for_sightings(30)


@pytest.fixture
def remembering(settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "VERIFICATION_CACHE": SECONDS}


@pytest.fixture
def seen(token_set: TokenSet, remembering: None) -> str:
    """An access token that was verified a moment ago."""
    verify(token_set.access_token)
    assert wait_for_sightings(30)
    return token_set.access_token


def verify(token: str, *, resource: str = RESOURCE) -> Principal:
    return verify_access_token(token, issuer=ISSUER, resource=resource)


def recall(token: str) -> Principal | None:
    """What an event loop finds without asking the database; None if it would."""

    async def read_row(*wanted: Any) -> LivingRow | None:
        raise LookupError

    verification = averify_access_token(token, issuer=ISSUER, resource=RESOURCE, read_row=read_row)
    try:
        return asyncio.run(verification)
    except (LookupError, UnknownKey):
        return None


def count_queries(call: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as queries:
        call()
    return len(queries)


def test_without_it_each_verification_reads_the_row(token_set: TokenSet) -> None:
    verify(token_set.access_token)
    assert count_queries(lambda: verify(token_set.access_token)) == 1
    assert recall(token_set.access_token) is None
    Connection.objects.update(revoked_at="2026-01-01T00:00:00Z")
    with pytest.raises(InvalidToken):
        verify(token_set.access_token)


def test_with_it_the_database_is_not_asked(seen: str) -> None:
    assert count_queries(lambda: verify(seen)) == 0
    assert recall(seen) == verify(seen)


def test_it_is_asked_again_after_its_seconds(seen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Connection.objects.update(revoked_at="2026-01-01T00:00:00Z")
    assert verify(seen)
    later = time.monotonic() + SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(InvalidToken):
        verify(seen)


def test_setting_it_to_0_is_heard_at_once(seen: str, settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "VERIFICATION_CACHE": 0}
    assert count_queries(lambda: verify(seen)) == 1


def deactivate(opened: Opened) -> None:
    user = opened.connection.user
    assert user is not None
    user.is_active = False
    user.save()


def block_host(opened: Opened) -> None:
    clients().update(host="evil.example")
    client_hosts.block_host("evil.example")


ENDS: dict[str, Callable[[Opened], Any]] = {
    "connection revoked": lambda opened: revocation.revoke_connection(opened.connection.pk, "test"),
    "client revoked": lambda opened: revocation.revoke_client(opened.client, "test"),
    "client blocked": lambda opened: revocation.block_client(opened.client),
    "client deleted": lambda opened: revocation.delete_client(opened.client),
    "host blocked": block_host,
    "user revoked": lambda opened: revocation.revoke_user(opened.connection.user, "test"),
    "user inactive": deactivate,
    "user gone": lambda opened: opened.connection.user.delete(),
    "identity revoked": lambda opened: revocation.revoke_identity(opened.connection.identity_id, "test"),
    "disconnected": lambda opened: revocation.disconnect(opened.connection.user, opened.client),
    "key withdrawn": lambda opened: replace_keys(generate_jwk("EdDSA")),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_revocation_in_this_process_clears_it_at_once(end: Callable[[Opened], Any], seen: str, opened: Opened) -> None:
    assert recall(seen)
    end(opened)
    with pytest.raises(InvalidToken):
        verify(seen)


def test_what_others_read_before_a_revocation_is_committed_is_not_kept(seen: str, opened: Opened) -> None:
    with transaction.atomic():
        revocation.revoke_connection(opened.connection.pk, "test")
        # Another thread, for which it still lives.
        row = LivingRow(opened.connection.pk, "subject", "client", RESOURCE, 1, 1, 1, None)
        living.remember_living(opened.connection.pk, row, age=living.memory_age(), read_at=time.monotonic())
        assert living.recall_living(opened.connection.pk, max_age=SECONDS)
    assert living.recall_living(opened.connection.pk, max_age=SECONDS) is None


def test_row_that_was_read_while_it_was_revoked_is_not_kept(
    token_set: TokenSet, opened: Opened, remembering: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = living._read

    def read_and_lose(connection_ids: Any) -> dict[uuid.UUID, LivingRow]:
        rows = read(connection_ids)
        revocation.revoke_connection(opened.connection.pk, "test")
        return rows

    monkeypatch.setattr(living, "_read", read_and_lose)
    # It lived when the database was asked, which is as good as it gets.
    assert verify(token_set.access_token)
    monkeypatch.undo()
    assert living.recall_living(opened.connection.pk, max_age=SECONDS) is None


def test_transaction_neither_uses_nor_fills_it(token_set: TokenSet, seen: str, opened: Opened) -> None:
    with transaction.atomic():
        assert count_queries(lambda: verify(seen)) == 1
        forget_living()
        verify(seen)
    assert living.recall_living(opened.connection.pk, max_age=SECONDS) is None


def test_remembered_row_of_an_earlier_generation_is_read_again(seen: str, token_set: TokenSet) -> None:
    Connection.objects.update(generation=2)
    claims = checked_tokens.checked_claims(seen, issuer=ISSUER, audience=RESOURCE)
    assert living.recalled_row(claims.connection_id, generation=2) is None
    row = living.living_row(claims.connection_id, generation=2)
    assert row is not None
    assert row.generation == 2


def test_use_of_a_token_is_recorded_once(token_set: TokenSet, remembering: None) -> None:
    verify(token_set.access_token)
    assert wait_for_sightings(30)
    assert Connection.objects.get().seen_generation == 1
    Connection.objects.update(seen_generation=0)
    verify(token_set.access_token)
    assert wait_for_sightings(30)
    assert Connection.objects.get().seen_generation == 0


def test_signature_is_checked_once(token_set: TokenSet, monkeypatch: pytest.MonkeyPatch) -> None:
    verify(token_set.access_token)
    monkeypatch.setattr(access_tokens, "read_jwt", lambda *args, **options: pytest.fail("checked again"))
    assert verify(token_set.access_token)


def test_token_of_a_key_that_is_withdrawn_is_refused_though_its_signature_was_checked(token_set: TokenSet) -> None:
    verify(token_set.access_token)
    replace_keys(generate_jwk("EdDSA"))
    with pytest.raises(InvalidToken):
        verify(token_set.access_token)


def test_other_resource_other_issuer_and_expiry_are_seen_though_the_signature_was_checked(
    token_set: TokenSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = token_set.access_token
    verify(token)
    with pytest.raises(InvalidToken):
        verify(token, resource=f"{RESOURCE}/plain")
    with pytest.raises(InvalidToken):
        verify_access_token(token, issuer="https://other.example", resource=RESOURCE)
    later = time.time() + 24 * 60 * 60
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(InvalidToken):
        verify(token)


def test_changed_signature_is_no_checked_one(token_set: TokenSet) -> None:
    verify(token_set.access_token)
    head, _, signature = token_set.access_token.rpartition(".")
    changed = f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    with pytest.raises(InvalidToken):
        verify(changed)


def test_refused_tokens_take_no_memory(token_set: TokenSet) -> None:
    for number in range(20):
        with pytest.raises(InvalidToken):
            verify(f"{token_set.access_token}{number}")
    assert len(checked_tokens._checked) == 0


def test_whoever_changes_the_claims_changes_them_for_nobody_else(token_set: TokenSet) -> None:
    mine = verify(token_set.access_token)
    assert isinstance(mine.claims, dict)
    mine.claims["sub"] = "somebody else"
    assert verify(token_set.access_token).claims["sub"] == mine.subject


def test_event_loop_reads_no_keys(seen: str) -> None:
    forget_keys()
    assert count_queries(lambda: recall(seen)) == 0
    assert recall(seen) is None
    key_ring()
    assert recall(seen)


def test_query_reads_no_more_than_it_needs(token_set: TokenSet) -> None:
    verify(token_set.access_token)
    assert wait_for_sightings(30)
    with CaptureQueriesContext(connection) as queries:
        verify(token_set.access_token)
    (statement,) = [query["sql"] for query in queries]
    assert statement.split("FROM")[0].count(",") == len(LivingRow._fields) - 1
