"""Userinfo (OpenID Connect Core 5.3), over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.test import Client as Browser
from django.utils import timezone

from mcp_oidc.core.clients import clients
from mcp_oidc.core.revocation import revoke_connection
from mcp_oidc.models import AbstractClient, Connection, Identity
from mcp_oidc.protocol.jwks import SigningJwk
from tests.factories import ISSUER
from tests.resource import forgery
from tests.server.authorizations import json_of, post_form, redeem, refresh_params


@pytest.fixture
def claims(identity: Identity) -> dict[str, Any]:
    """What the identity provider told of alice."""
    identity.claims = {
        "sub": "248289761001",
        "iss": "https://idp.example",
        "name": "Alice Liddell",
        "picture": None,
        "email": "alice@example.com",
        "email_verified": True,
        "groups": ["staff"],
    }
    identity.save()
    return identity.claims


def ask(token: str, method: str = "GET") -> Any:
    browser = Browser(enforce_csrf_checks=True)
    return browser.generic(method, "/me", headers={"Authorization": f"Bearer {token}"})


@pytest.mark.requirement("userinfo-claims")
@pytest.mark.parametrize(
    ("scope", "released"),
    [
        ("openid mcp", set()),
        ("openid profile", {"name"}),
        ("openid email", {"email", "email_verified"}),
        ("openid profile email", {"name", "email", "email_verified"}),
    ],
)
def test_scopes_decide_which_claims_are_told(
    browser: Browser, public_client: AbstractClient, claims: dict[str, Any], scope: str, released: set[str]
) -> None:
    response = ask(redeem(browser, public_client, scope=scope)["access_token"])
    document = json_of(response, 200)
    # Ours, opaque, the same as in the tokens; not the identity provider's.
    assert document.pop("sub") == Connection.objects.get().subject
    assert document == {name: claims[name] for name in released}
    assert response["Cache-Control"] == "no-store"


@pytest.mark.requirement("userinfo-sub")
def test_sub_is_that_of_the_tokens(tokens: dict[str, str]) -> None:
    subject = json_of(ask(tokens["access_token"]), 200)["sub"]
    assert subject == forgery.claims_of(tokens["id_token"])["sub"] == forgery.claims_of(tokens["access_token"])["sub"]


@pytest.mark.requirement("userinfo-claims")
def test_token_that_was_narrowed_tells_no_more_than_its_own_scopes(
    browser: Browser, public_client: AbstractClient, claims: dict[str, Any]
) -> None:
    tokens = redeem(browser, public_client, scope="openid profile email")
    narrowed = post_form("/token", refresh_params(public_client, tokens, scope="openid email"))
    assert set(json_of(ask(json_of(narrowed, 200)["access_token"]), 200)) == {"sub", "email", "email_verified"}


def test_user_without_claims_has_a_sub(tokens: dict[str, str]) -> None:
    Connection.objects.update(identity=None)
    assert json_of(ask(tokens["access_token"]), 200) == {"sub": Connection.objects.get().subject}


def test_post_is_answered_like_get(tokens: dict[str, str]) -> None:
    assert json_of(ask(tokens["access_token"], "POST"), 200) == json_of(ask(tokens["access_token"]), 200)


def test_token_of_any_resource_will_do(browser: Browser, public_client: AbstractClient) -> None:
    tokens = redeem(browser, public_client, resource=f"{ISSUER}/mcp/plain")
    json_of(ask(tokens["access_token"]), 200)


@pytest.mark.requirement("userinfo-openid")
def test_token_without_openid_is_told_what_it_lacks(browser: Browser, public_client: AbstractClient) -> None:
    response = ask(redeem(browser, public_client, scope="mcp")["access_token"])
    assert json_of(response, 403)["error"] == "insufficient_scope"
    challenge = response["WWW-Authenticate"]
    assert challenge.startswith('Bearer error="insufficient_scope"')
    assert 'scope="openid"' in challenge


@pytest.mark.requirement("challenge")
def test_request_without_a_token_is_challenged_without_an_error(client: Browser, db: None) -> None:
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "nonsense"}):
        response = client.get("/me", headers=headers)
        assert response.status_code == 401
        # Its metadata would be that of a resource, and userinfo is none.
        assert response["WWW-Authenticate"] == 'Bearer scope="openid"'


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer a b", 'Bearer "x"', "Bearer \xff", "bearer ="])
def test_malformed_header_is_a_bad_request(client: Browser, db: None, header: str) -> None:
    response = client.get("/me", headers={"Authorization": header})
    assert json_of(response, 400)["error"] == "invalid_request"
    assert 'error="invalid_request"' in response["WWW-Authenticate"]


@pytest.mark.requirement("resource-refuses-bad-tokens")
@pytest.mark.parametrize("kind", ["refresh_token", "id_token"])
def test_other_tokens_open_nothing(tokens: dict[str, str], kind: str) -> None:
    assert json_of(ask(tokens[kind]), 401)["error"] == "invalid_token"


ENDS: dict[str, Callable[[Connection], Any]] = {
    "connection revoked": lambda connection: revoke_connection(connection.pk, "test"),
    "user inactive": lambda connection: type(connection.user).objects.update(is_active=False),
    "user deleted": lambda connection: connection.user.delete(),
    "client blocked": lambda connection: clients().update(trust="blocked"),
    "client deleted": lambda connection: clients().update(deleted_at=timezone.now()),
}


@pytest.mark.requirement("resource-refuses-bad-tokens")
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_token_opens_nothing_from_the_moment_that_it_was_taken_away(
    tokens: dict[str, str], end: Callable[[Connection], Any]
) -> None:
    json_of(ask(tokens["access_token"]), 200)
    end(Connection.objects.get())
    assert_refused(ask(tokens["access_token"]))


@pytest.mark.requirement("resource-refuses-bad-tokens")
def test_expired_token_opens_nothing(tokens: dict[str, str], signing_key: SigningJwk) -> None:
    header, claims = (read(tokens["access_token"]) for read in (forgery.header_of, forgery.claims_of))
    then = int(time.time()) - 7200
    key = forgery.private_key_of(signing_key)
    assert_refused(ask(forgery.forge(header, {**claims, "iat": then, "exp": then + 3600}, key)))


def assert_refused(response: Any) -> None:
    assert json_of(response, 401)["error"] == "invalid_token"
    assert response["WWW-Authenticate"].startswith('Bearer error="invalid_token"')
    assert response["Cache-Control"] == "no-store"


@pytest.mark.requirement("resource-token-in-header-only")
def test_token_in_query_or_body_is_not_looked_at(client: Browser, tokens: dict[str, str]) -> None:
    token = {"access_token": tokens["access_token"]}
    assert client.get("/me", token).status_code == 401
    assert client.post("/me", token).status_code == 401


def test_session_of_a_browser_opens_nothing(browser: Browser, user: AbstractBaseUser) -> None:
    assert browser.get("/me").status_code == 401
