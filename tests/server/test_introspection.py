"""Introspection (RFC 7662), over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection as database
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from mcp_oidc.adapter import Adapter
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import Registration, clients, register
from mcp_oidc.core.revocation import block_client, delete_client, revoke_connection
from mcp_oidc.models import AbstractClient, Connection
from tests.factories import ISSUER, RESOURCE, add_resource_server, make_metadata
from tests.resource import forgery
from tests.server.authorizations import approve, authorize_url, basic, code_params, json_of, post_form, redeem
from tests.server.documents import APP, APP_REDIRECT, Web, make_document
from tests.server.registrations import document_of, manage
from tests.server.registrations import register as register_over_http

KINDS = ["access_token", "refresh_token"]


@pytest.fixture
def owned(browser: Browser, confidential_client: Registration) -> dict[str, str]:
    """The tokens of the client with a secret."""
    code = approve(browser, confidential_client.client)["code"]
    asked = code_params(confidential_client.client, code, client_secret=str(confidential_client.secret))
    return json_of(post_form("/token", asked), 200)


@pytest.fixture
def resource_server(db: None) -> Registration:
    """The resource server of /mcp, which an operator added."""
    return add_resource_server("/mcp")


def introspect(caller: Registration, token: str) -> dict[str, Any]:
    header = basic(caller.client.client_id, str(caller.secret))
    response = post_form("/token/introspection", {"token": token}, Authorization=header)
    assert response["Cache-Control"] == "no-store"
    return json_of(response, 200)


class TellingAdapter(Adapter):
    """Tells resources which team a user is of, and tries to say what only the server may."""

    def access_token_claims(self, user: AbstractBaseUser, client: Any) -> dict[str, Any]:
        return {"team": "blue", "username": user.get_username(), "active": False, "sub": "evil", "cnf": {"jkt": "x"}}


def described(token: str) -> dict[str, Any]:
    """What the owner of an access token is to be told: what it says, but for what only this server reads."""
    payload = forgery.claims_of(token)
    told = {name: value for name, value in payload.items() if name not in ("sid", "gen")}
    assert set(told) == {"iss", "sub", "aud", "client_id", "scope", "iat", "exp", "jti", "auth_time"}
    return {"active": True, "token_type": "Bearer", **told}


@pytest.mark.requirement("introspection-response")
def test_access_token_is_described(confidential_client: Registration, owned: dict[str, str]) -> None:
    document = introspect(confidential_client, owned["access_token"])
    assert document == described(owned["access_token"])
    assert (document["iss"], document["aud"], document["scope"]) == (ISSUER, RESOURCE, "openid mcp")
    assert document["sub"] == Connection.objects.get().subject
    assert document["exp"] - document["iat"] == 3600


@pytest.mark.requirement("introspection-response")
def test_refresh_token_is_described(confidential_client: Registration, owned: dict[str, str]) -> None:
    document = introspect(confidential_client, owned["refresh_token"])
    connection = Connection.objects.get()
    assert document == {
        "active": True,
        "iss": ISSUER,
        "sub": connection.subject,
        "aud": RESOURCE,
        "client_id": confidential_client.client.client_id,
        "scope": "openid mcp",
        "exp": int(connection.expires_at.timestamp()),
    }


@pytest.mark.requirement("introspection-own-tokens")
@pytest.mark.parametrize("kind", KINDS)
def test_token_of_another_client_is_not_active(
    confidential_client: Registration, tokens: dict[str, str], kind: str
) -> None:
    assert introspect(confidential_client, tokens[kind]) == {"active": False}


@pytest.mark.requirement("introspection-own-tokens")
@pytest.mark.parametrize("kind", KINDS)
def test_client_that_registered_itself_learns_nothing_of_others(owned: dict[str, str], kind: str) -> None:
    snoop = register(make_metadata(token_endpoint_auth_method="client_secret_post"), caller=Caller())
    assert introspect(snoop, owned[kind]) == {"active": False}


@pytest.mark.requirement("introspection-dead-tokens")
@pytest.mark.parametrize("kind", KINDS)
def test_revoked_token_is_not_active(confidential_client: Registration, owned: dict[str, str], kind: str) -> None:
    revoke_connection(Connection.objects.get().pk, "test")
    assert introspect(confidential_client, owned[kind]) == {"active": False}


@pytest.mark.requirement("introspection-dead-tokens")
@pytest.mark.parametrize("kind", KINDS)
def test_token_of_a_deactivated_user_is_not_active(
    confidential_client: Registration, owned: dict[str, str], user: AbstractBaseUser, kind: str
) -> None:
    user.is_active = False
    user.save(update_fields=["is_active"])
    assert introspect(confidential_client, owned[kind]) == {"active": False}


@pytest.mark.requirement("introspection-dead-tokens")
def test_refresh_token_that_was_superseded_is_not_active(
    confidential_client: Registration, owned: dict[str, str]
) -> None:
    header = basic(confidential_client.client.client_id, str(confidential_client.secret))
    asked = {"grant_type": "refresh_token", "refresh_token": owned["refresh_token"]}
    newer = json_of(post_form("/token", asked, Authorization=header), 200)
    assert introspect(confidential_client, owned["refresh_token"]) == {"active": False}
    assert introspect(confidential_client, newer["refresh_token"])["active"] is True


@pytest.mark.requirement("introspection-dead-tokens")
@pytest.mark.parametrize("token", ["x", "mcpr_x", "mcpr_" + "A" * 76, "a.b.c", "ü" * 100, "e30.e30.e30", "x" * 20_000])
def test_nonsense_is_not_active(confidential_client: Registration, token: str) -> None:
    assert introspect(confidential_client, token) == {"active": False}


def test_code_and_id_token_are_no_tokens(
    confidential_client: Registration, confidential_code: str, owned: dict[str, str]
) -> None:
    assert introspect(confidential_client, confidential_code) == {"active": False}
    assert introspect(confidential_client, owned["id_token"]) == {"active": False}


@pytest.mark.requirement("introspection-authenticated")
def test_public_client_may_not_ask(public_client: AbstractClient, tokens: dict[str, str]) -> None:
    asked = {"client_id": public_client.client_id, "token": tokens["access_token"]}
    response = post_form("/token/introspection", asked)
    assert json_of(response, 401)["error"] == "invalid_client"
    assert response["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.requirement("introspection-authenticated")
def test_bearer_token_does_not_authenticate_the_caller(tokens: dict[str, str]) -> None:
    header = f"Bearer {tokens['access_token']}"
    response = post_form("/token/introspection", {"token": tokens["access_token"]}, Authorization=header)
    assert json_of(response, 401)["error"] == "invalid_client"


def test_missing_token_is_an_error(confidential_client: Registration) -> None:
    header = basic(confidential_client.client.client_id, str(confidential_client.secret))
    assert json_of(post_form("/token/introspection", {}, Authorization=header), 400)["error"] == "invalid_request"


@pytest.mark.requirement("introspection-resource")
def test_resource_server_learns_what_a_token_for_it_says(
    resource_server: Registration, public_client: AbstractClient, tokens: dict[str, str]
) -> None:
    document = introspect(resource_server, tokens["access_token"])
    assert document == described(tokens["access_token"])
    assert document["client_id"] == public_client.client_id


@pytest.mark.requirement("introspection-resource")
def test_claims_of_the_adapter_are_for_the_resource_and_not_for_the_client(
    settings: LazySettings, resource_server: Registration, confidential_client: Registration, browser: Browser
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": TellingAdapter}
    code = approve(browser, confidential_client.client)["code"]
    asked = code_params(confidential_client.client, code, client_secret=str(confidential_client.secret))
    token = json_of(post_form("/token", asked), 200)["access_token"]
    told = introspect(resource_server, token)
    assert (told["team"], told["username"]) == ("blue", "alice")
    assert (told["active"], told["sub"]) == (True, Connection.objects.get().subject)
    assert "cnf" not in told
    own = introspect(confidential_client, token)
    assert {name: value for name, value in told.items() if name not in ("team", "username")} == own


@pytest.mark.requirement("introspection-resource")
@pytest.mark.parametrize(
    ("serves", "is_active"),
    [
        (["/mcp"], False),
        (["/mcp/plain"], True),
        (["/mcp", f"{ISSUER}/mcp/plain"], True),
        (["/mcp/"], False),
        (["/mcp/plain/", "/mcp/pla", "plain", "http://TESTSERVER/mcp/plain"], False),
        ([], False),
    ],
)
def test_resource_server_learns_nothing_of_tokens_for_another_resource(
    browser: Browser, public_client: AbstractClient, serves: list[str], is_active: bool
) -> None:
    tokens = redeem(browser, public_client, resource=f"{ISSUER}/mcp/plain")
    answer = introspect(add_resource_server(*serves), tokens["access_token"])
    assert answer["active"] == is_active
    assert is_active or answer == {"active": False}


@pytest.mark.requirement("introspection-resource")
def test_resource_that_has_left_the_settings_is_served_by_nobody(
    settings: LazySettings, resource_server: Registration, tokens: dict[str, str]
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "RESOURCES": {"/mcp/plain": {}}}
    assert introspect(resource_server, tokens["access_token"]) == {"active": False}


@pytest.mark.requirement("introspection-resource")
def test_resource_server_learns_nothing_of_what_is_no_access_token(
    resource_server: Registration, tokens: dict[str, str], code: str
) -> None:
    for token in (tokens["refresh_token"], tokens["id_token"], code):
        assert introspect(resource_server, token) == {"active": False}


@pytest.mark.requirement("introspection-dead-tokens")
def test_resource_server_hears_of_a_revocation_at_once(resource_server: Registration, tokens: dict[str, str]) -> None:
    assert introspect(resource_server, tokens["access_token"])["active"]
    revoke_connection(Connection.objects.get().pk, "test")
    assert introspect(resource_server, tokens["access_token"]) == {"active": False}


@pytest.mark.requirement("few-statements")
def test_introspection_takes_two_statements_and_a_write_at_the_first_use(
    resource_server: Registration, tokens: dict[str, str]
) -> None:
    for writes in (["UPDATE"], []):
        with CaptureQueriesContext(database) as queries:
            introspect(resource_server, tokens["access_token"])
        statements = [query["sql"].split()[0] for query in queries if "SAVEPOINT" not in query["sql"]]
        assert statements == ["SELECT", "SELECT", *writes]


@pytest.mark.requirement("introspection-authenticated")
@pytest.mark.parametrize("end", [block_client, delete_client])
def test_resource_server_that_is_blocked_or_deleted_may_not_ask(
    resource_server: Registration, tokens: dict[str, str], end: Any
) -> None:
    end(resource_server.client)
    assert_unauthenticated(tokens, Authorization=basic(resource_server.client.client_id, str(resource_server.secret)))


@pytest.mark.requirement("introspection-authenticated")
@pytest.mark.parametrize("secret", ["", "wrong", "x" * 900])
def test_wrong_secret_is_refused(resource_server: Registration, tokens: dict[str, str], secret: str) -> None:
    assert_unauthenticated(tokens, Authorization=basic(resource_server.client.client_id, secret))
    assert_unauthenticated({**tokens, "client_id": resource_server.client.client_id, "client_secret": secret})


@pytest.mark.requirement("introspection-authenticated")
def test_public_client_may_not_ask_for_a_resource_either(tokens: dict[str, str]) -> None:
    public = add_resource_server("/mcp", auth_method="none").client
    assert_unauthenticated({**tokens, "client_id": public.client_id})
    assert_unauthenticated(tokens, Authorization=basic(public.client_id, ""))


def assert_unauthenticated(asked: dict[str, str], **headers: str) -> None:
    names = ("client_id", "client_secret")
    params = {"token": asked["access_token"], **{name: asked[name] for name in names if name in asked}}
    response = post_form("/token/introspection", params, **headers)
    assert json_of(response, 401)["error"] == "invalid_client"
    assert response["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.requirement("introspection-operator-only")
def test_registration_makes_no_resource_server(db: None) -> None:
    known = register_over_http(token_endpoint_auth_method="client_secret_basic", serves="/mcp")
    assert "serves" not in known
    changed = manage("PUT", known, document_of(known, serves=["/mcp"], client_name="New name"))
    assert "serves" not in json_of(changed, 200)
    client = clients().get()
    assert (client.name, client.serves) == ("New name", "")
    assert "serves" not in client.metadata


@pytest.mark.requirement("introspection-operator-only")
def test_metadata_document_makes_no_resource_server(browser: Browser, web: Web) -> None:
    for name in ("App", "New name"):
        web.published[APP] = make_document(client_name=name, serves="/mcp")
        clients().update(cimd_expires_at=None)
        app = clients().model(client_id=APP)
        assert browser.get(authorize_url(app, redirect_uri=APP_REDIRECT)).status_code == 200
        client = clients().get(client_id=APP)
        assert (client.name, client.serves) == (name, "")


def test_resource_server_can_ask_for_no_token_of_its_own(resource_server: Registration, stranger: Browser) -> None:
    header = basic(resource_server.client.client_id, str(resource_server.secret))
    for grant_type in ("authorization_code", "refresh_token"):
        response = post_form("/token", {"grant_type": grant_type}, Authorization=header)
        assert json_of(response, 400)["error"] == "unauthorized_client"
    for redirect_uri in ("https://evil.example/", None):
        response = stranger.get(authorize_url(resource_server.client, redirect_uri=redirect_uri))
        assert response.status_code == 400
        assert "Location" not in response.headers
