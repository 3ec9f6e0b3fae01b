"""An authorization code: redeemed once, by the client that asked for it, with what it is bound to, in time."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mcp_oidc.adapter import Adapter
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import register
from mcp_oidc.core.encryption import mac_keys
from mcp_oidc.core.issuing import redeem_code
from mcp_oidc.core.key_rotation import save_key
from mcp_oidc.core.keys import forget_keys
from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.core.verification import verify_access_token
from mcp_oidc.errors import InvalidGrant, InvalidRequest, InvalidTarget, InvalidToken, OAuthError
from mcp_oidc.models import AbstractClient, Connection, Event, Identity
from mcp_oidc.protocol import pkce
from mcp_oidc.protocol.claims import token_hash
from mcp_oidc.protocol.jwks import generate_jwk
from mcp_oidc.protocol.opaque_tokens import Kind, make_token
from tests.core.parallel import THREADS, in_parallel
from tests.core.passing import let_pass
from tests.factories import ISSUER, RESOURCE, Opened, make_metadata, open_for

pytestmark = pytest.mark.django_db

CODE_LIFETIME = 60


def redeem(opened: Opened, caller: Caller, **changes: Any) -> TokenSet:
    client = changes.pop("client", opened.client)
    return redeem_code(replace(opened.request, **changes), client, issuer=ISSUER, caller=caller)


def payload(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


def test_code_buys_tokens_for_what_was_approved(opened: Opened, caller: Caller) -> None:
    tokens = redeem(opened, caller)
    claims = payload(tokens.access_token)
    assert (claims["iss"], claims["aud"], claims["sub"]) == (ISSUER, RESOURCE, opened.connection.subject)
    assert (claims["client_id"], claims["scope"]) == (opened.client.client_id, "openid mcp notes:write")
    assert (claims["sid"], claims["gen"]) == (str(opened.connection.pk), 1)
    assert claims["exp"] - claims["iat"] == tokens.expires_in == 3600
    assert opened.connection.authenticated_at is not None
    assert claims["auth_time"] == int(opened.connection.authenticated_at.timestamp())
    assert tokens.scope == "openid mcp notes:write"
    assert (
        verify_access_token(tokens.access_token, issuer=ISSUER, resource=RESOURCE).user_id == opened.connection.user_id
    )


def test_answer_holds_no_null(opened: Opened, caller: Caller) -> None:
    answer = redeem(opened, caller).as_dict()
    assert set(answer) == {"access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token"}
    assert None not in answer.values()


@pytest.mark.requirement("nothing-usable-stored")
def test_neither_code_nor_token_lies_in_the_database(opened: Opened, caller: Caller) -> None:
    tokens = redeem(opened, caller)
    rows = str([list(model.objects.values()) for model in (Connection, Event)])
    for secret in (opened.code, opened.verifier, tokens.access_token, tokens.refresh_token, tokens.id_token):
        assert secret is not None
        assert secret[-40:] not in rows
        assert secret not in repr((opened.request, tokens))


@pytest.mark.requirement("id-token")
def test_id_token_is_for_the_client_and_bound_to_the_access_token(opened: Opened, caller: Caller) -> None:
    tokens = redeem(opened, caller)
    assert tokens.id_token is not None
    claims = payload(tokens.id_token)
    assert (claims["iss"], claims["aud"], claims["sub"]) == (ISSUER, opened.client.client_id, opened.connection.subject)
    assert claims["nonce"] == "n-0S6_WzA2Mj"
    assert claims["at_hash"] == token_hash(tokens.access_token, "RS256")
    assert abs(claims["auth_time"] - timezone.now().timestamp()) < 60
    with pytest.raises(InvalidToken):
        verify_access_token(tokens.id_token, issuer=ISSUER, resource=None)


@pytest.mark.parametrize(
    ("scope", "released"), [("openid", set()), ("openid email", {"email"}), ("openid email profile", {"email", "name"})]
)
def test_id_token_releases_what_the_scopes_open(
    public_client: AbstractClient,
    identity: Identity,
    signing_key: object,
    caller: Caller,
    scope: str,
    released: set[str],
) -> None:
    identity.claims = {"email": "alice@example.com", "name": "Alice", "groups": ["x"], "iss": "evil", "aud": "evil"}
    identity.save()
    tokens = redeem(open_for(public_client, identity, caller=caller, scope=scope, nonce=""), caller)
    assert tokens.id_token is not None
    claims = payload(tokens.id_token)
    assert set(claims) & {"email", "name", "groups", "nonce"} == released
    assert claims["iss"] == ISSUER


def test_client_that_did_not_ask_for_openid_gets_no_id_token(
    public_client: AbstractClient, identity: Identity, signing_key: object, caller: Caller
) -> None:
    assert redeem(open_for(public_client, identity, caller=caller, scope="mcp"), caller).id_token is None


def test_client_without_the_refresh_grant_gets_no_refresh_token(
    identity: Identity, signing_key: object, caller: Caller
) -> None:
    client = register(make_metadata(grant_types=["authorization_code"]), caller=caller).client
    answer = redeem(open_for(client, identity, caller=caller), caller).as_dict()
    assert "refresh_token" not in answer


@pytest.mark.requirement("code-bound")
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"redirect_uri": "http://127.0.0.1:33418/other"}, InvalidGrant),
        ({"redirect_uri": "http://127.0.0.1:33419/callback"}, InvalidGrant),
        ({"redirect_uri": ""}, InvalidGrant),
        ({"redirect_uri": None}, InvalidRequest),
        ({"code_verifier": pkce.new_verifier()}, InvalidGrant),
        ({"code_verifier": ""}, InvalidGrant),
        ({"code_verifier": "\u00e9" * 43}, InvalidGrant),
        ({"resource": "http://testserver/mcp/plain"}, InvalidTarget),
        ({"resource": "http://testserver/mcp/"}, InvalidTarget),
        ({"code": "mcpc_" + "A" * 76}, InvalidGrant),
        ({"code": "garbage\0"}, InvalidGrant),
    ],
)
def test_refused_redemption_uses_nothing_up(
    opened: Opened, caller: Caller, change: dict[str, str | None], error: type[OAuthError]
) -> None:
    with pytest.raises(error):
        redeem(opened, caller, **change)
    assert redeem(opened, caller).access_token


def test_redirect_uri_that_was_left_out_before_may_be_left_out_again(
    public_client: AbstractClient, identity: Identity, signing_key: object, caller: Caller
) -> None:
    opened = open_for(public_client, identity, caller=caller, redirect_uri=None)
    with pytest.raises(InvalidGrant):
        redeem(opened, caller, redirect_uri="http://127.0.0.1:33418/other")
    assert redeem(opened, caller, redirect_uri=None).access_token


def test_resource_may_be_left_out(opened: Opened, caller: Caller) -> None:
    assert payload(redeem(opened, caller, resource=None).access_token)["aud"] == RESOURCE


@pytest.mark.requirement("code-bound")
def test_code_of_another_client_harms_nobody(opened: Opened, caller: Caller) -> None:
    other = register(make_metadata(), caller=caller).client
    with pytest.raises(InvalidGrant):
        redeem(opened, caller, client=other)
    tokens = redeem(opened, caller)
    # Not even when it has been used: somebody else's second use proves nothing.
    with pytest.raises(InvalidGrant):
        redeem(opened, caller, client=other)
    assert verify_access_token(tokens.access_token, issuer=ISSUER, resource=RESOURCE)


def test_refresh_token_is_no_code(opened: Opened, caller: Caller) -> None:
    connection = opened.connection
    refresh_token = make_token(Kind.REFRESH, connection.pk, 0, salt=connection.salt, key=mac_keys()[0])
    with pytest.raises(InvalidGrant):
        redeem(opened, caller, code=refresh_token)


@pytest.mark.requirement("code-expiry")
def test_code_expires_by_the_databases_clock(opened: Opened, caller: Caller) -> None:
    let_pass(CODE_LIFETIME - 5, opened.connection)
    with pytest.raises(InvalidGrant, match="verifier"):
        redeem(opened, caller, code_verifier="x" * 43)
    let_pass(6, opened.connection)
    with pytest.raises(InvalidGrant, match="expired"):
        redeem(opened, caller)
    opened.connection.refresh_from_db()
    assert opened.connection.generation == 0


def test_code_that_expires_between_reading_and_update_is_refused(
    opened: Opened, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_oidc.core.issuing.note_use", lambda client: let_pass(CODE_LIFETIME, opened.connection))
    with pytest.raises(InvalidGrant, match="expired"):
        redeem(opened, caller)
    opened.connection.refresh_from_db()
    assert opened.connection.generation == 0


def test_code_lives_as_long_as_the_setting_says(
    public_client: AbstractClient, identity: Identity, signing_key: object, caller: Caller, settings: LazySettings
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "AUTHORIZATION_CODE_LIFETIME": 300}
    opened = open_for(public_client, identity, caller=caller)
    let_pass(290, opened.connection)
    assert redeem(opened, caller)


def test_redeemed_connection_lives_on_after_its_code(opened: Opened, caller: Caller) -> None:
    redeem(opened, caller)
    opened.connection.refresh_from_db()
    left = opened.connection.expires_at - timezone.now()
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)


@pytest.mark.requirement("code-once")
@pytest.mark.requirement("replay-is-recorded")
@pytest.mark.parametrize("later", [0, 86_400])
def test_second_use_of_a_code_revokes_what_the_first_one_issued(opened: Opened, caller: Caller, later: int) -> None:
    tokens = redeem(opened, caller)
    let_pass(later, opened.connection)
    with pytest.raises(InvalidGrant):
        redeem(opened, caller)
    opened.connection.refresh_from_db()
    assert opened.connection.revoked_reason == "code_reused"
    with pytest.raises(InvalidToken):
        verify_access_token(tokens.access_token, issuer=ISSUER, resource=RESOURCE)
    for kind in ("connection.replayed", "connection.revoked"):
        assert Event.objects.filter(kind=kind, reason="code_reused", address=caller.address).count() == 1


def test_second_use_without_the_verifier_is_refused_and_harms_nobody(opened: Opened, caller: Caller) -> None:
    tokens = redeem(opened, caller)
    with pytest.raises(InvalidGrant):
        redeem(opened, caller, code_verifier=pkce.new_verifier())
    assert verify_access_token(tokens.access_token, issuer=ISSUER, resource=RESOURCE)


@pytest.mark.requirement("inactive-user")
def test_code_of_an_inactive_user_is_refused_for_good(opened: Opened, user: AbstractBaseUser, caller: Caller) -> None:
    type(user).objects.update(is_active=False)
    for is_active in (False, True):
        type(user).objects.update(is_active=is_active)
        with pytest.raises(InvalidGrant):
            redeem(opened, caller)


@pytest.mark.requirement("key-rotation")
def test_secret_key_rotated_between_approval_and_redemption_costs_nothing(
    opened: Opened, caller: Caller, settings: LazySettings
) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    forget_keys()
    assert redeem(opened, caller)


def test_code_of_a_lost_secret_key_is_refused(opened: Opened, caller: Caller, settings: LazySettings) -> None:
    settings.SECRET_KEY = "another"
    # With a key that the new secret opens. Before, the server is out of order and judges no code.
    save_key(generate_jwk("ES256"))
    with pytest.raises(InvalidGrant):
        redeem(opened, caller)


class BrokenAdapter(Adapter):
    def access_token_claims(self, user: AbstractBaseUser, client: Any) -> dict[str, Any]:
        raise ConnectionError("the directory does not answer")


class UnwritableAdapter(Adapter):
    def access_token_claims(self, user: AbstractBaseUser, client: Any) -> dict[str, Any]:
        return {"groups": {"a set is no JSON"}}


@pytest.mark.parametrize("adapter", [BrokenAdapter, UnwritableAdapter])
def test_trouble_in_the_adapter_does_not_use_the_code_up(
    opened: Opened, caller: Caller, settings: LazySettings, adapter: type[Adapter]
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": adapter}
    with pytest.raises((ConnectionError, TypeError)):
        redeem(opened, caller)
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": "mcp_oidc.adapter.Adapter"}
    assert redeem(opened, caller)


def test_redemption_takes_few_statements(opened: Opened, caller: Caller) -> None:
    with CaptureQueriesContext(connection) as queries:
        redeem(opened, caller)
    # A SAVEPOINT and its release stand for the transaction outside of tests.
    assert len(queries) <= 7, [query["sql"] for query in queries]


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("code-once")
def test_eight_redemptions_at_once_have_one_winner(opened: Opened, caller: Caller) -> None:
    results = in_parallel(lambda: redeem(opened, caller), expected=InvalidGrant)
    assert sorted(type(result).__name__ for result in results) == ["InvalidGrant"] * (THREADS - 1) + ["TokenSet"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("code-once")
def test_eight_that_all_read_the_code_unused_have_one_winner_and_the_connection_lives(
    opened: Opened, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody_has_read = threading.Barrier(THREADS)
    monkeypatch.setattr("mcp_oidc.core.issuing.note_use", lambda client: everybody_has_read.wait(timeout=30))
    results = in_parallel(lambda: redeem(opened, caller), expected=InvalidGrant)
    winners = [result for result in results if isinstance(result, TokenSet)]
    assert len(winners) == 1
    assert verify_access_token(winners[0].access_token, issuer=ISSUER, resource=RESOURCE)


@pytest.mark.requirement("code-once")
def test_request_that_read_the_code_unused_and_lost_the_race_revokes_nothing(
    opened: Opened, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    won: list[TokenSet] = []

    def race(*args: Any) -> None:
        monkeypatch.undo()
        won.append(redeem(opened, caller))

    # Between the reading of the row and the UPDATE, another request redeems the code.
    monkeypatch.setattr("mcp_oidc.core.issuing.note_use", race)
    with pytest.raises(InvalidGrant, match="just now"):
        redeem(opened, caller)
    assert verify_access_token(won[0].access_token, issuer=ISSUER, resource=RESOURCE)


def test_issue_is_audited_in_the_transaction_that_uses_the_code(
    opened: Opened, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("mcp_oidc.core.issuing.audit.record", fail)
    with pytest.raises(RuntimeError), transaction.atomic():
        redeem(opened, caller)
    monkeypatch.undo()
    assert redeem(opened, caller)
    assert Event.objects.filter(kind="connection.issued", connection_id=opened.connection.pk).count() == 1
