"""Introspection, and finding the connection behind a token: of those tokens only that belong to the caller."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from django.conf import LazySettings
from django.contrib.auth.base_user import AbstractBaseUser

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import Registration, clients
from mcp_oidc.core.encryption import mac_keys
from mcp_oidc.core.introspection import connection_of, identify_resource, introspect
from mcp_oidc.core.issuing import RefreshRequest, refresh
from mcp_oidc.core.keys import key_ring
from mcp_oidc.core.revocation import revoke_connection
from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.models import AbstractClient, Connection
from mcp_oidc.protocol.access_tokens import read_access_token, sign_access_token
from mcp_oidc.protocol.opaque_tokens import Kind, make_token
from tests.core.passing import let_pass
from tests.factories import ISSUER, RESOURCE, Opened, add_resource_server

pytestmark = pytest.mark.django_db

INACTIVE = {"active": False}


def test_access_token_is_described_to_its_client(token_set: TokenSet, opened: Opened) -> None:
    answer = introspect(token_set.access_token, opened.client, issuer=ISSUER)
    assert (answer["active"], answer["token_type"], answer["iss"]) == (True, "Bearer", ISSUER)
    assert (answer["aud"], answer["client_id"]) == (RESOURCE, opened.client.client_id)
    assert (answer["sub"], answer["scope"]) == (opened.connection.subject, token_set.scope)
    assert {"exp", "iat", "jti"} <= set(answer)
    assert None not in answer.values()


def test_refresh_token_is_described_to_its_client(token_set: TokenSet, opened: Opened) -> None:
    answer = introspect(str(token_set.refresh_token), opened.client, issuer=ISSUER)
    assert (answer["active"], answer["sub"], answer["aud"]) == (True, opened.connection.subject, RESOURCE)
    assert "token_type" not in answer


@pytest.mark.requirement("introspection-own-tokens")
def test_token_of_another_client_is_not_active(token_set: TokenSet, confidential_client: Registration) -> None:
    for token in (token_set.access_token, str(token_set.refresh_token)):
        assert introspect(token, confidential_client.client, issuer=ISSUER) == INACTIVE
        assert connection_of(token, confidential_client.client, issuer=ISSUER) is None


def test_connection_behind_each_token_is_found(token_set: TokenSet, opened: Opened) -> None:
    for token in (token_set.access_token, str(token_set.refresh_token)):
        assert connection_of(token, opened.client, issuer=ISSUER) == opened.connection.pk


@pytest.mark.parametrize("token", ["", "garbage", "\0", "mcpr_" + "A" * 76, "mcpc_" + "A" * 76, "a.b.c"])
def test_garbage_is_not_active(opened: Opened, token: str) -> None:
    assert introspect(token, opened.client, issuer=ISSUER) == INACTIVE
    assert connection_of(token, opened.client, issuer=ISSUER) is None


def test_code_is_not_a_token(opened: Opened) -> None:
    assert introspect(opened.code, opened.client, issuer=ISSUER) == INACTIVE
    assert connection_of(opened.code, opened.client, issuer=ISSUER) is None


def test_dead_tokens_are_not_active(token_set: TokenSet, opened: Opened) -> None:
    revoke_connection(opened.connection.pk, "test")
    for token in (token_set.access_token, str(token_set.refresh_token)):
        assert introspect(token, opened.client, issuer=ISSUER) == INACTIVE


def test_expired_refresh_token_is_not_active(token_set: TokenSet, opened: Opened) -> None:
    let_pass(31 * 86_400, Connection.objects.get())
    assert introspect(str(token_set.refresh_token), opened.client, issuer=ISSUER) == INACTIVE


def test_tokens_of_an_inactive_user_are_not_active(token_set: TokenSet, opened: Opened, user: AbstractBaseUser) -> None:
    type(user).objects.update(is_active=False)
    for token in (token_set.access_token, str(token_set.refresh_token)):
        assert introspect(token, opened.client, issuer=ISSUER) == INACTIVE


def test_superseded_refresh_token_is_not_active_but_still_names_its_connection(
    token_set: TokenSet, opened: Opened, caller: Caller
) -> None:
    request = RefreshRequest(str(token_set.refresh_token), (), None)
    newer = refresh(request, opened.client, issuer=ISSUER, caller=caller)
    assert introspect(str(token_set.refresh_token), opened.client, issuer=ISSUER) == INACTIVE
    assert introspect(str(newer.refresh_token), opened.client, issuer=ISSUER)["active"]
    assert connection_of(str(token_set.refresh_token), opened.client, issuer=ISSUER) == opened.connection.pk


def expired(token: str) -> str:
    """The same access token, an hour and more later."""
    claims = read_access_token(token, key_ring().find, issuer=ISSUER)
    then = int(time.time()) - 7200
    return sign_access_token(replace(claims, issued_at=then, expires_at=then + 3600), key_ring().signing)


@pytest.mark.requirement("revocation-expired")
def test_expired_access_token_is_not_active_but_still_names_its_connection(
    token_set: TokenSet, opened: Opened, confidential_client: Registration
) -> None:
    token = expired(token_set.access_token)
    assert introspect(token, opened.client, issuer=ISSUER) == INACTIVE
    assert connection_of(token, opened.client, issuer=ISSUER) == opened.connection.pk
    assert connection_of(token, confidential_client.client, issuer=ISSUER) is None


def test_refresh_token_from_before_a_restored_backup_is_active(token_set: TokenSet, opened: Opened) -> None:
    connection = Connection.objects.get()
    newer = make_token(Kind.REFRESH, connection.pk, 5, salt=connection.salt, key=mac_keys()[0])
    assert introspect(newer, opened.client, issuer=ISSUER)["active"]
    # And no more is taken for seen than the row knows of.
    assert Connection.objects.get().seen_generation == 1


def own_client(opened: Opened) -> AbstractClient:
    return opened.client


def resource_server(opened: Opened) -> AbstractClient:
    return add_resource_server("/mcp").client


def other_resource_server(opened: Opened) -> AbstractClient:
    return add_resource_server("/mcp/plain").client


def other_client(opened: Opened) -> AbstractClient:
    return add_resource_server().client


@pytest.mark.requirement("introspection-seen")
@pytest.mark.parametrize(
    ("caller_of", "seen"), [(own_client, 1), (resource_server, 1), (other_resource_server, 0), (other_client, 0)]
)
def test_introspection_counts_as_use_where_the_token_belongs(
    token_set: TokenSet, opened: Opened, caller_of: Callable[[Opened], AbstractClient], seen: int
) -> None:
    answer = introspect(token_set.access_token, caller_of(opened), issuer=ISSUER)
    assert answer["active"] == bool(seen)
    assert Connection.objects.get().seen_generation == seen


@pytest.mark.requirement("introspection-seen")
def test_client_that_introspects_its_refresh_token_has_received_it(token_set: TokenSet, opened: Opened) -> None:
    introspect(str(token_set.refresh_token), add_resource_server("/mcp").client, issuer=ISSUER)
    assert Connection.objects.get().seen_generation == 0
    introspect(str(token_set.refresh_token), opened.client, issuer=ISSUER)
    assert Connection.objects.get().seen_generation == 1


@pytest.mark.requirement("introspection-resource")
def test_client_that_described_itself_serves_nothing(token_set: TokenSet) -> None:
    server = add_resource_server("/mcp").client
    assert introspect(token_set.access_token, server, issuer=ISSUER)["active"]
    for source in ("dcr", "cimd"):
        clients().filter(pk=server.pk).update(registration_source=source)
        server.refresh_from_db()
        assert introspect(token_set.access_token, server, issuer=ISSUER) == INACTIVE


@pytest.mark.parametrize(
    ("entry", "identifier"),
    [
        ("/mcp", "https://mcp.example/mcp"),
        ("https://mcp.example/mcp", "https://mcp.example/mcp"),
        ("https://tools.example/mcp", "https://tools.example/mcp"),
        ("/mcp/", None),
        ("/mc", None),
        ("/mcp/plain", None),
        ("mcp", None),
        ("https://mcp.example/auth/mcp", None),
        ("https://MCP.example/mcp", None),
        ("https://tools.example/mcp/", None),
        ("", None),
    ],
)
def test_resource_is_named_exactly_by_its_path_or_its_url(
    settings: LazySettings, entry: str, identifier: str | None
) -> None:
    settings.MCP_OIDC = {"RESOURCES": {"/mcp": {}, "https://tools.example/mcp": {}}}
    # A path is one of the issuer's host, whatever the issuer's own path.
    assert identify_resource(entry, "https://mcp.example/auth") == identifier
