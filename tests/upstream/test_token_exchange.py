"""Token exchange (RFC 8693): a resource server elsewhere gets the provider's access token, over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import LazySettings
from django.http import HttpResponse
from django.test import Client as HttpClient
from django.utils import timezone

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import Registration, clients
from mcp_oidc.core.event_kinds import Kind
from mcp_oidc.core.revocation import block_client, revoke_connection
from mcp_oidc.core.upstream_tokens import IdpTokens, keep_tokens, read_tokens
from mcp_oidc.models import AbstractClient, Connection, Event, Identity, IdpTokenSet
from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk
from mcp_oidc.protocol.token_exchange import ACCESS_TOKEN, TOKEN_EXCHANGE
from tests.core.passing import let_pass
from tests.factories import ISSUER, RESOURCE, add_resource_server
from tests.idp import Idp
from tests.resource.refusals import BAD_TOKENS, DEAD_TOKENS
from tests.resource.worlds import PLAIN, World, issuing
from tests.server.authorizations import FORM, basic, json_of, post_form
from tests.server.documents import sign
from tests.server.registrations import document_of, manage, post_registration
from tests.server.registrations import register as register_over_http
from tests.upstream.browser import Browser

pytestmark = pytest.mark.django_db

# A refresh never takes place in a transaction of the caller, where the database can help it.
refreshing = pytest.mark.django_db(transaction=True)


@pytest.fixture
def identity(browser: Browser) -> Identity:
    """Alice, who has logged in at the provider."""
    browser.log_in()
    browser.idp.requests.clear()
    return Identity.objects.get()


@pytest.fixture
def world(identity: Identity, public_client: AbstractClient, signing_key: SigningJwk, caller: Caller) -> World:
    issue = issuing(public_client, identity, caller=caller)
    return World(issue(), issue(resource=PLAIN), client=public_client, identity=identity, key=signing_key)


@pytest.fixture
def server(db: None) -> Registration:
    """The resource server of /mcp, which an operator lets exchange tokens."""
    return add_resource_server("/mcp", exchanges=True)


def params_for(token: str, **changes: str | None) -> dict[str, str]:
    params: dict[str, str | None] = {
        "grant_type": TOKEN_EXCHANGE,
        "subject_token": token,
        "subject_token_type": ACCESS_TOKEN,
        **changes,
    }
    return {name: value for name, value in params.items() if value is not None}


def exchange(server: Registration, token: str, **changes: str | None) -> HttpResponse:
    header = basic(server.client.client_id, str(server.secret))
    return post_form("/token", params_for(token, **changes), Authorization=header)


def error_of(response: HttpResponse, status: int = 400) -> str:
    return str(json_of(response, status)["error"])


def expire(identity: Identity, *, refresh_token: str | None = "the same") -> None:
    """Let the provider's tokens have expired."""
    tokens = read_tokens(identity.pk).tokens
    kept = tokens.refresh_token if refresh_token == "the same" else refresh_token
    IdpTokenSet.objects.all().delete()
    expired = timezone.now() - timedelta(seconds=1)
    keep_tokens(identity, replace(tokens, expires_at=expired, refresh_token=kept))


@pytest.mark.requirement("exchange-response")
def test_resource_server_gets_the_providers_access_token_and_nothing_else(
    server: Registration, world: World, idp: Idp
) -> None:
    response = exchange(server, world.access_token)
    document = json_of(response, 200)
    assert (response["Cache-Control"], response["Pragma"]) == ("no-store", "no-cache")
    tokens = read_tokens(world.identity.pk).tokens
    assert tokens.access_token in idp.access_tokens
    assert 3500 < document.pop("expires_in") <= 3600
    assert document == {
        "access_token": tokens.access_token,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "scope": "openid email profile",
    }


@pytest.mark.requirement("exchange-response")
def test_what_the_provider_does_not_tell_is_left_out(server: Registration, world: World) -> None:
    IdpTokenSet.objects.all().delete()
    keep_tokens(world.identity, IdpTokens("a token of alice's"))
    assert json_of(exchange(server, world.access_token), 200) == {
        "access_token": "a token of alice's",
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
    }


def test_what_may_be_said_besides_may_be_said(server: Registration, world: World, idp: Idp) -> None:
    for changes in (
        {"requested_token_type": ACCESS_TOKEN},
        {"audience": idp.issuer},
        {"scope": "openid email"},
        {"client_id": server.client.client_id},
    ):
        json_of(exchange(server, world.access_token, **changes), 200)


def test_client_with_a_key_exchanges_by_its_assertion(world: World) -> None:
    key = generate_jwk("ES256")
    keys = {"jwks": {"keys": [key.public]}}
    server = add_resource_server("/mcp", auth_method="private_key_jwt", exchanges=True, keys=keys)
    proof = sign(server.client.client_id, key)
    assert json_of(post_form("/token", {**params_for(world.access_token), **proof}), 200)["access_token"]


@refreshing
@pytest.mark.requirement("exchange-response")
def test_token_that_has_expired_is_refreshed_at_the_provider(
    server: Registration, world: World, identity: Identity, idp: Idp
) -> None:
    before = read_tokens(identity.pk).tokens.access_token
    expire(identity)
    token = json_of(exchange(server, world.access_token), 200)["access_token"]
    assert token != before
    assert token in idp.access_tokens


@pytest.mark.requirement("exchange-subject")
@pytest.mark.parametrize("bad_token", [*BAD_TOKENS, *DEAD_TOKENS], ids=lambda row: row.__name__)
def test_bad_subject_token_is_refused(bad_token: Callable[[World], str], server: Registration, world: World) -> None:
    answer = json_of(exchange(server, bad_token(world)), 400)
    assert answer["error"] == "invalid_request"
    assert answer["error_description"] == "The subject_token is no access token that this resource server can exchange."
    assert not Event.objects.filter(kind=Kind.IDP_TOKENS_EXCHANGED).exists()


@pytest.mark.requirement("exchange-subject")
def test_token_for_another_resource_is_not_told_from_a_dead_one_and_does_not_count_as_seen(
    server: Registration, world: World
) -> None:
    foreign = exchange(server, world.plain_tokens.access_token)
    revoke_connection(Connection.objects.get(pk=world.claims["sid"]).pk, "test")
    assert json_of(foreign, 400) == json_of(exchange(server, world.access_token), 400)
    assert Connection.objects.get(resource=PLAIN).seen_generation == 0


def test_exchange_counts_as_seen(server: Registration, world: World) -> None:
    json_of(exchange(server, world.access_token), 200)
    assert Connection.objects.get(resource=RESOURCE).seen_generation == 1


@pytest.mark.requirement("exchange-subject")
def test_connection_that_ends_while_the_provider_answers_gets_nothing(
    server: Registration, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(identity_id: int) -> IdpTokens:
        revoke_connection(Connection.objects.get(pk=world.claims["sid"]).pk, "test")
        return read_tokens(identity_id).tokens

    monkeypatch.setattr("mcp_oidc.server.tokens.fresh_tokens", slowly)
    assert error_of(exchange(server, world.access_token)) == "invalid_request"


@pytest.mark.requirement("exchange-subject")
def test_connection_that_another_process_ends_meanwhile_gets_nothing_whatever_is_remembered(
    server: Registration, world: World, monkeypatch: pytest.MonkeyPatch, settings: LazySettings
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "VERIFICATION_CACHE": 60}

    def slowly(identity_id: int) -> IdpTokens:
        # As another process does: this one is told of nothing.
        Connection.objects.filter(pk=world.claims["sid"]).update(revoked_at=timezone.now())
        return read_tokens(identity_id).tokens

    monkeypatch.setattr("mcp_oidc.server.tokens.fresh_tokens", slowly)
    assert error_of(exchange(server, world.access_token)) == "invalid_request"


@pytest.mark.requirement("exchange-errors")
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"subject_token": None}, "invalid_request"),
        ({"subject_token_type": None}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:id_token"}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"actor_token": "x", "actor_token_type": ACCESS_TOKEN}, "invalid_request"),
        ({"actor_token_type": ACCESS_TOKEN}, "invalid_request"),
        ({"audience": ISSUER}, "invalid_target"),
        ({"audience": RESOURCE}, "invalid_target"),
        ({"audience": "https://elsewhere.example"}, "invalid_target"),
        ({"resource": RESOURCE}, "invalid_target"),
        ({"resource": "https://api.example"}, "invalid_target"),
        ({"scope": "openid admin"}, "invalid_scope"),
    ],
)
def test_what_is_not_exchanged_is_refused(
    server: Registration, world: World, changes: dict[str, str | None], error: str
) -> None:
    assert error_of(exchange(server, world.access_token, **changes)) == error


@pytest.mark.requirement("exchange-errors")
def test_doubled_audience_is_refused(server: Registration, world: World) -> None:
    # RFC 8693 2.1 allows several. We have one provider, and no two parsers that pick different ones.
    body = urlencode([*params_for(world.access_token).items(), ("audience", "a"), ("audience", "b")])
    header = {"Authorization": basic(server.client.client_id, str(server.secret))}
    assert error_of(HttpClient().post("/token", body, content_type=FORM, headers=header)) == "invalid_request"


@pytest.mark.requirement("exchange-operator-only")
def test_resource_server_that_no_operator_allows_it_is_refused(world: World) -> None:
    assert error_of(exchange(add_resource_server("/mcp"), world.access_token)) == "unauthorized_client"
    assert error_of(exchange(add_resource_server(exchanges=True), world.access_token)) == "unauthorized_client"


@pytest.mark.requirement("exchange-operator-only")
def test_client_that_proves_nothing_is_refused(server: Registration, world: World) -> None:
    for method in ("none", "client_secret_basic"):
        clients().filter(pk=server.client.pk).update(token_endpoint_auth_method=method)
        answer = post_form("/token", params_for(world.access_token, client_id=server.client.client_id))
        assert error_of(answer, 400 if method == "none" else 401) in ("unauthorized_client", "invalid_client")


@pytest.mark.requirement("exchange-operator-only")
@pytest.mark.parametrize("source", ["dcr", "cimd"])
def test_client_that_described_itself_is_refused_whatever_it_says(
    server: Registration, world: World, source: str
) -> None:
    clients().filter(pk=server.client.pk).update(registration_source=source)
    assert clients().get(pk=server.client.pk).exchanges_tokens
    assert error_of(exchange(server, world.access_token)) == "unauthorized_client"


@pytest.mark.requirement("exchange-operator-only")
def test_no_registration_brings_the_grant_type(db: None) -> None:
    asked = ["authorization_code", TOKEN_EXCHANGE]
    known = register_over_http(grant_types=asked, token_endpoint_auth_method="client_secret_basic")
    assert known["grant_types"] == ["authorization_code"]
    changed = json_of(manage("PUT", known, document_of(known, grant_types=asked)), 200)
    assert changed["grant_types"] == ["authorization_code"]
    assert error_of(post_registration(grant_types=[TOKEN_EXCHANGE])) == "invalid_client_metadata"
    assert not clients().get().exchanges_tokens


@refreshing
@pytest.mark.requirement("exchange-outage")
@pytest.mark.parametrize("fault", [503, "close", "garbage"])
def test_outage_of_the_provider_is_a_503_and_costs_nothing(
    server: Registration, world: World, identity: Identity, idp: Idp, fault: int | str
) -> None:
    expire(identity)
    idp.faults["token"] = fault
    response = exchange(server, world.access_token)
    assert error_of(response, 503) == "temporarily_unavailable"
    assert response["Retry-After"]
    idp.faults.clear()
    json_of(exchange(server, world.access_token), 200)


@pytest.mark.requirement("exchange-outage")
def test_need_for_a_login_has_an_error_of_its_own(server: Registration, world: World, identity: Identity) -> None:
    expire(identity, refresh_token=None)
    assert error_of(exchange(server, world.access_token)) == "login_required"
    IdpTokenSet.objects.all().delete()
    assert error_of(exchange(server, world.access_token)) == "login_required"


@refreshing
@pytest.mark.requirement("exchange-outage")
def test_user_whom_the_provider_has_disabled_is_out(
    server: Registration, world: World, identity: Identity, idp: Idp
) -> None:
    expire(identity)
    idp.disable("alice")
    assert error_of(exchange(server, world.access_token)) == "login_required"
    assert error_of(exchange(server, world.access_token)) == "invalid_request"
    assert not Connection.objects.filter(revoked_at=None).exists()


def test_resource_server_that_was_blocked_is_unknown(server: Registration, world: World) -> None:
    block_client(server.client)
    assert error_of(exchange(server, world.access_token), 401) == "invalid_client"


@pytest.mark.requirement("exchange-recorded")
def test_exchange_is_recorded_once_an_hour_for_each_connection_and_resource_server(
    server: Registration, world: World
) -> None:
    for _ in range(2):
        json_of(exchange(server, world.access_token), 200)
    event = Event.objects.get(kind=Kind.IDP_TOKENS_EXCHANGED)
    assert (event.outcome, event.client_id, event.client_name) == ("allowed", server.client.pk, "Tools elsewhere")
    assert (event.user_id, event.subject) == (world.identity.user.pk, world.claims["sub"])
    assert str(event.connection_id) == world.claims["sid"]
    assert event.detail == {"resource": RESOURCE, "client_id": world.client.client_id}
    exchange(add_resource_server("/mcp", exchanges=True), world.access_token)
    let_pass(3600, *Event.objects.filter(kind=Kind.IDP_TOKENS_EXCHANGED))
    exchange(server, world.access_token)
    assert Event.objects.filter(kind=Kind.IDP_TOKENS_EXCHANGED).count() == 3


@pytest.mark.requirement("exchange-recorded")
@pytest.mark.requirement("log-no-secrets")
def test_neither_token_is_written_anywhere(
    server: Registration, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    given = json_of(exchange(server, world.access_token), 200)
    exchange(server, f"{world.access_token}x")
    told: list[Any] = [*Event.objects.values_list("reason", "detail", "agent"), caplog.text]
    for secret in (world.access_token, given["access_token"], str(server.secret)):
        assert secret not in str(told)
