"""Revocation (RFC 7009), over HTTP."""

from __future__ import annotations

import time

import pytest
from django.test import Client as Browser

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import Registration, register
from mcp_oidc.models import AbstractClient, Connection, Event
from mcp_oidc.protocol.jwks import SigningJwk
from tests.factories import add_resource_server, make_metadata
from tests.resource import forgery
from tests.resource.refusals import ATTACKER
from tests.server.authorizations import (
    approve,
    assert_still_good,
    basic,
    code_params,
    json_of,
    post_form,
    refresh_params,
)

KINDS = ["access_token", "refresh_token"]


def revoke(client: AbstractClient, token: str, **params: str) -> None:
    """Revoke a token of a public client; the answer is always the same."""
    response = post_form("/token/revocation", {"client_id": client.client_id, "token": token, **params})
    assert json_of(response, 200) == {}
    assert response["Cache-Control"] == "no-store"


def is_alive(client: AbstractClient, tokens: dict[str, str]) -> bool:
    """Whether the access token opens userinfo; the refresh token has to agree."""
    userinfo = Browser().get("/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    refreshed = post_form("/token", refresh_params(client, tokens))
    assert (userinfo.status_code, refreshed.status_code) in ((200, 200), (401, 400))
    return userinfo.status_code == 200


@pytest.mark.requirement("revocation-whole-grant")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hint", [{}, {"token_type_hint": "refresh_token"}, {"token_type_hint": "nonsense"}])
def test_either_token_ends_the_whole_connection(
    public_client: AbstractClient, tokens: dict[str, str], kind: str, hint: dict[str, str]
) -> None:
    revoke(public_client, tokens[kind], **hint)
    assert not is_alive(public_client, tokens)
    assert Connection.objects.get().revoked_reason == "client_request"


def expired(tokens: dict[str, str], key: SigningJwk) -> str:
    """The access token, an hour and more later."""
    claims = forgery.claims_of(tokens["access_token"])
    then = int(time.time()) - 7200
    changed = {**claims, "iat": then, "exp": then + 3600}
    return forgery.forge(forgery.header_of(tokens["access_token"]), changed, forgery.private_key_of(key))


@pytest.mark.requirement("revocation-expired")
def test_access_token_that_has_expired_ends_it_too(
    public_client: AbstractClient, tokens: dict[str, str], signing_key: SigningJwk
) -> None:
    # A client that comes back after a while and logs out at once has no other.
    revoke(public_client, expired(tokens, signing_key), token_type_hint="access_token")
    assert not is_alive(public_client, tokens)


@pytest.mark.requirement("revocation-own-tokens")
def test_expired_access_token_of_another_client_ends_nothing(
    public_client: AbstractClient, tokens: dict[str, str], signing_key: SigningJwk
) -> None:
    revoke(register(make_metadata(client_name="Other"), caller=Caller()).client, expired(tokens, signing_key))
    assert is_alive(public_client, tokens)


def test_access_token_that_somebody_else_signed_ends_nothing(
    public_client: AbstractClient, tokens: dict[str, str]
) -> None:
    header, claims = (read(tokens["access_token"]) for read in (forgery.header_of, forgery.claims_of))
    for forged in (forgery.forge(header, claims, ATTACKER), forgery.forge_unsigned({**header, "alg": "none"}, claims)):
        revoke(public_client, forged)
    assert is_alive(public_client, tokens)


@pytest.mark.requirement("revoked-once")
def test_second_revocation_is_answered_like_the_first_and_told_of_once(
    public_client: AbstractClient, tokens: dict[str, str]
) -> None:
    for kind in (*KINDS, *KINDS):
        revoke(public_client, tokens[kind])
    event = Event.objects.get(kind="connection.revoked")
    assert (event.client_id, event.reason, event.address) == (public_client.pk, "client_request", "127.0.0.1")
    assert str(event.connection_id) == forgery.claims_of(tokens["access_token"])["sid"]


def test_refresh_token_that_was_superseded_ends_it_too(public_client: AbstractClient, tokens: dict[str, str]) -> None:
    newer = json_of(post_form("/token", refresh_params(public_client, tokens)), 200)
    revoke(public_client, tokens["refresh_token"])
    assert not is_alive(public_client, newer)


@pytest.mark.requirement("revocation-own-tokens")
@pytest.mark.parametrize("kind", KINDS)
def test_token_of_another_client_is_answered_alike_and_stays_alive(
    public_client: AbstractClient, tokens: dict[str, str], kind: str
) -> None:
    other = register(make_metadata(client_name="Other"), caller=Caller()).client
    revoke(other, tokens[kind])
    assert is_alive(public_client, tokens)


@pytest.mark.requirement("revocation-own-tokens")
def test_other_connections_of_the_same_client_stay_alive(
    browser: Browser, public_client: AbstractClient, tokens: dict[str, str]
) -> None:
    code = approve(browser, public_client)["code"]
    revoke(public_client, tokens["refresh_token"])
    other = json_of(post_form("/token", code_params(public_client, code)), 200)
    assert is_alive(public_client, other)


@pytest.mark.parametrize("token", ["x", "mcpr_x", "mcpr_" + "A" * 76, "a.b.c", "ü" * 100, "e30.e30.e30", "x" * 20_000])
def test_nonsense_is_answered_alike(public_client: AbstractClient, token: str) -> None:
    revoke(public_client, token)


def test_code_is_no_token(public_client: AbstractClient, code: str) -> None:
    # RFC 7009 2 knows two kinds. Nobody needs to revoke a code, which nobody else can redeem and which ends by itself.
    revoke(public_client, code)
    assert_still_good(public_client, code)


def test_id_token_is_no_token(public_client: AbstractClient, tokens: dict[str, str]) -> None:
    revoke(public_client, tokens["id_token"])
    assert is_alive(public_client, tokens)


@pytest.mark.requirement("revocation-own-tokens")
def test_resource_server_revokes_nothing_of_its_users(public_client: AbstractClient, tokens: dict[str, str]) -> None:
    server = add_resource_server("/mcp")
    header = basic(server.client.client_id, str(server.secret))
    for kind in KINDS:
        assert json_of(post_form("/token/revocation", {"token": tokens[kind]}, Authorization=header), 200) == {}
    assert is_alive(public_client, tokens)


@pytest.mark.parametrize("params", [{}, {"token": ""}])
def test_missing_token_is_an_error(public_client: AbstractClient, params: dict[str, str]) -> None:
    response = post_form("/token/revocation", {"client_id": public_client.client_id, **params})
    document = json_of(response, 400)
    assert document["error"] == "invalid_request"
    assert "token" in document["error_description"]


@pytest.mark.requirement("token-invalid-client")
def test_caller_must_prove_itself(confidential_client: Registration, tokens: dict[str, str]) -> None:
    client_id = confidential_client.client.client_id
    for asked in ({}, {"client_id": "unknown"}, {"client_id": client_id}):
        response = post_form("/token/revocation", {"token": tokens["refresh_token"], **asked})
        assert json_of(response, 401)["error"] == "invalid_client"
        assert response["WWW-Authenticate"].startswith("Basic ")
    header = basic(client_id, str(confidential_client.secret))
    json_of(post_form("/token/revocation", {"token": "x"}, Authorization=header), 200)
