"""Verification: an access token is good while its connection, client and user are alive, and not a moment longer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mcp_oidc.core import revocation
from mcp_oidc.core.clients import clients
from mcp_oidc.core.connections import note_seen
from mcp_oidc.core.key_rotation import save_key
from mcp_oidc.core.keys import forget_keys, key_ring
from mcp_oidc.core.living import forget_query
from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.core.verification import Principal, verify_access_token
from mcp_oidc.errors import InvalidToken
from mcp_oidc.models import ClientHost, Connection, Identity
from mcp_oidc.protocol.access_tokens import sign_access_token
from mcp_oidc.protocol.access_tokens import verify_access_token as read_claims
from mcp_oidc.protocol.jwks import generate_jwk
from tests.factories import ISSUER, RESOURCE, Opened

pytestmark = pytest.mark.django_db


def verify(tokens: TokenSet, *, resource: str | None = RESOURCE) -> Principal:
    return verify_access_token(tokens.access_token, issuer=ISSUER, resource=resource)


def test_principal_says_who_calls(token_set: TokenSet, opened: Opened, identity: Identity) -> None:
    principal = verify(token_set)
    assert (principal.subject, principal.client_id) == (str(identity.subject), opened.client.client_id)
    assert (principal.scopes, principal.resource) == (("openid", "mcp", "notes:write"), RESOURCE)
    assert (principal.connection_id, principal.user_id) == (opened.connection.pk, identity.user_id)
    assert (principal.user, principal.identity) == (identity.user, identity)
    assert principal.expires_at - timezone.now().timestamp() > 3500
    assert principal.has_scopes(("mcp", "notes:write"))
    assert not principal.has_scopes(("mcp", "admin"))


def test_principal_brings_the_custom_data_of_the_identity(token_set: TokenSet, identity: Identity) -> None:
    Identity.objects.update(custom_data={"team": "blue"})
    assert verify(token_set).custom_data == {"team": "blue"}


def test_claims_do_not_show_in_a_log(token_set: TokenSet) -> None:
    principal = verify(token_set)
    assert str(principal.claims["jti"]) not in repr(principal)


@pytest.mark.requirement("few-statements")
def test_verification_is_one_query_and_a_write_at_the_first_use(token_set: TokenSet) -> None:
    key_ring()
    with CaptureQueriesContext(connection) as queries:
        verify(token_set)
    statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert [statement.split()[0] for statement in statements] == ["SELECT", "UPDATE"]
    with CaptureQueriesContext(connection) as queries:
        verify(token_set)
    assert len(queries) == 1


ENDS: dict[str, Callable[[Opened], Any]] = {
    "connection revoked": lambda opened: revocation.revoke_connection(opened.connection.pk, "test"),
    "client revoked": lambda opened: revocation.revoke_client(opened.client, "test"),
    "client blocked": lambda opened: clients().update(trust="blocked"),
    "client deleted": lambda opened: clients().update(deleted_at=timezone.now()),
    "host blocked": lambda opened: (
        clients().update(host="evil.example"),
        ClientHost.objects.create(host="evil.example", trust="blocked"),
    ),
    "client gone": lambda opened: opened.client.delete(),
    "user revoked": lambda opened: revocation.revoke_user(opened.connection.user, "test"),
    "user inactive": lambda opened: type(opened.connection.user).objects.update(is_active=False),
    "user gone": lambda opened: opened.connection.user.delete(),
    "connection gone": lambda opened: opened.connection.delete(),
    "not redeemed": lambda opened: Connection.objects.update(generation=0),
    "other subject": lambda opened: Connection.objects.update(subject="somebody else"),
    "other resource": lambda opened: Connection.objects.update(resource="http://testserver/mcp/plain"),
    "other case": lambda opened: Connection.objects.update(subject=opened.connection.subject.upper()),
    "other client": lambda opened: clients().update(client_id=opened.client.client_id.swapcase()),
    "newer than the row": lambda opened: Connection.objects.update(generation=0),
}


@pytest.mark.requirement("revocation-at-once")
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_token_dies_at_once_with_what_it_stands_for(
    token_set: TokenSet, opened: Opened, end: Callable[[Opened], Any]
) -> None:
    assert verify(token_set)
    end(opened)
    with pytest.raises(InvalidToken):
        verify(token_set)


def test_trusted_client_is_as_good_as_any(token_set: TokenSet) -> None:
    clients().update(trust="trusted")
    assert verify(token_set)


@pytest.mark.requirement("audience-exact")
def test_token_is_good_for_its_resource_and_no_other(token_set: TokenSet) -> None:
    for resource in ("http://testserver/mcp/plain", "http://testserver", RESOURCE + "/", RESOURCE.upper()):
        with pytest.raises(InvalidToken):
            verify(token_set, resource=resource)
    assert verify(token_set, resource=None).resource == RESOURCE


def test_token_of_another_issuer_is_refused(token_set: TokenSet) -> None:
    with pytest.raises(InvalidToken):
        verify_access_token(token_set.access_token, issuer="http://other", resource=RESOURCE)


def test_token_of_a_generation_that_was_never_issued_is_refused(token_set: TokenSet) -> None:
    ring = key_ring()
    claims = read_claims(token_set.access_token, ring.find, issuer=ISSUER, audience=RESOURCE)
    with pytest.raises(InvalidToken, match="not known any more"):
        verify_access_token(
            sign_access_token(replace(claims, generation=2), ring.signing), issuer=ISSUER, resource=RESOURCE
        )


@pytest.mark.requirement("key-rotation")
def test_tokens_of_the_old_key_and_the_new_are_good(token_set: TokenSet) -> None:
    save_key(generate_jwk("ES256"))
    assert verify(token_set)


def test_token_of_a_key_that_is_gone_is_refused(token_set: TokenSet, settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "JWKS": generate_jwk("RS256").private}
    forget_keys()
    with pytest.raises(InvalidToken):
        verify(token_set)


def test_database_that_can_only_be_read_locks_nobody_out(
    token_set: TokenSet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any) -> None:
        raise DatabaseError("attempt to write a readonly database")

    monkeypatch.setattr("mcp_oidc.core.sightings.note_seen", fail)
    assert verify(token_set)
    assert "could not record the use of a token" in caplog.text


def test_use_of_an_older_token_is_not_taken_for_the_newer_one(token_set: TokenSet, opened: Opened) -> None:
    Connection.objects.update(generation=3, seen_generation=2)
    assert verify(token_set)
    assert Connection.objects.get().seen_generation == 2


def test_seen_generation_never_goes_back(opened: Opened) -> None:
    for generation, seen in ((2, 2), (1, 2), (3, 3)):
        note_seen(opened.connection.pk, generation)
        assert Connection.objects.get().seen_generation == seen


def test_user_model_without_an_active_column_is_verified_too(
    token_set: TokenSet, user: AbstractBaseUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Simulated: AbstractBaseUser has `is_active` as a constant.
    monkeypatch.setattr("mcp_oidc.core.living._active_user", dict)
    forget_query()
    try:
        assert verify(token_set).user == user
    finally:
        forget_query()
