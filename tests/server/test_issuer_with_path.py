"""A server whose issuer has a path."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.test import Client, override_settings

from mcp_oidc.models import AbstractClient
from tests.server.authorizations import answer_of, authorize_url, code_params, json_of, post_form, press

ISSUER = "http://testserver/auth"

pytestmark = [pytest.mark.urls("tests.server.urls_below_a_path"), pytest.mark.usefixtures("signing_key")]


@pytest.fixture(autouse=True)
def _issuer_with_a_path() -> Iterator[None]:
    with override_settings(MCP_OIDC={"ISSUER": ISSUER, "RESOURCES": {"/mcp": {}}}):
        yield


@pytest.mark.requirement("metadata-own-path-only")
@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-authorization-server/auth",
        "/.well-known/openid-configuration/auth",
        "/auth/.well-known/openid-configuration",
        "/auth/.well-known/oauth-authorization-server",
    ],
)
def test_metadata_stands_behind_and_before_the_path(client: Client, path: str) -> None:
    document = client.get(path).json()
    assert document["issuer"] == ISSUER
    assert document["authorization_endpoint"] == f"{ISSUER}/authorize"
    assert document["token_endpoint"] == f"{ISSUER}/token"
    assert document["registration_endpoint"] == f"{ISSUER}/register"
    assert document["jwks_uri"] == f"{ISSUER}/jwks"


@pytest.mark.requirement("metadata-own-path-only")
@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/auth/",
        "/.well-known/openid-configuration/other",
        "/auth/.well-known/openid-configuration/auth",
    ],
)
def test_metadata_stands_nowhere_else(client: Client, path: str) -> None:
    assert json_of(client.get(path), 404)["error"] == "not_found"


def test_resource_names_the_issuer_with_its_path(client: Client) -> None:
    document = client.get("/.well-known/oauth-protected-resource/mcp").json()
    assert document["authorization_servers"] == [ISSUER]
    assert document["resource"] == "http://testserver/mcp"


@pytest.mark.requirement("authorization-iss")
def test_whole_authorization_works_below_the_path(
    client: Client, user: AbstractBaseUser, public_client: AbstractClient
) -> None:
    client.force_login(user)
    page = client.get(f"/auth{authorize_url(public_client)}")
    answer = answer_of(press(client, page, "allow"))
    assert answer["iss"] == ISSUER
    tokens = json_of(post_form("/auth/token", code_params(public_client, answer["code"])), 200)
    claims = client.get("/auth/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert claims.status_code == 200


def test_login_leads_back_below_the_path(client: Client, public_client: AbstractClient) -> None:
    location = client.get(f"/auth{authorize_url(public_client)}")["Location"]
    assert location.startswith("/accounts/login/?next=/auth/authorize%3F")


@pytest.mark.parametrize("path", ["/auth/jwks", "/auth/.well-known/openid-configuration"])
def test_documents_below_the_path_are_open_to_any_origin(client: Client, path: str) -> None:
    answer = client.get(path, headers={"Origin": "https://anybody.example"})
    assert answer["Access-Control-Allow-Origin"] == "*"


def test_origin_of_the_issuer_may_call_the_token_endpoint(client: Client) -> None:
    answer = client.post("/auth/token", headers={"Origin": "http://testserver"})
    assert answer["Access-Control-Allow-Origin"] == "http://testserver"
