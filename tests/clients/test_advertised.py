"""The metadata tells the truth: what it lists works, and what it does not list is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.test import Client as Browser
from joserfc import jwt
from joserfc.jwk import KeySet

from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk
from tests.clients.replay import ReplayedClient, register
from tests.factories import ISSUER
from tests.server.authorizations import basic, json_of, post_form
from tests.server.documents import sign

# On the web, where consent is remembered.
REDIRECT_URI = "https://app.example/callback"
DOCUMENT = {"client_name": "Advertised", "redirect_uris": [REDIRECT_URI]}
GRANT_TYPES = [
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "password",
    "implicit",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "urn:ietf:params:oauth:grant-type:token-exchange",
]
AUTH_METHODS = [
    "none",
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "tls_client_auth",
]
RESPONSE_TYPES = ["code", "token", "id_token", "code token", "code id_token", "none"]
RESPONSE_MODES = ["query", "fragment", "form_post", "query.jwt"]
PROMPTS = ["none", "login", "consent", "select_account"]
SCOPES = ["openid", "profile", "email", "mcp", "notes:write", "offline_access", "address", "phone", "admin"]


@pytest.fixture
def advertised(signing_key: SigningJwk, client: Browser) -> dict[str, Any]:
    """The metadata, which both documents have alike."""
    document: dict[str, Any] = client.get("/.well-known/oauth-authorization-server").json()
    assert document == client.get("/.well-known/openid-configuration").json()
    return document


@pytest.fixture
def app(db: None) -> ReplayedClient:
    return ReplayedClient(register(DOCUMENT), REDIRECT_URI)


@pytest.fixture(scope="module")
def client_key() -> SigningJwk:
    """The key of a client that proves itself by assertions."""
    return generate_jwk("ES256")


def error_of(response: Any) -> str | None:
    """The error that a client is told at its redirect URI, if it is told anything."""
    if response.status_code != 302 or not response["Location"].startswith(REDIRECT_URI):
        return None
    return dict(parse_qsl(urlsplit(response["Location"]).query)).get("error")


@pytest.mark.requirement("advertised-endpoints")
def test_every_endpoint_that_is_listed_is_below_the_issuer_and_takes_its_own_method(
    client: Browser, advertised: dict[str, Any]
) -> None:
    # What each says to a request without anything in it.
    empty: dict[str, Callable[[str], Any]] = {
        "authorization_endpoint": client.get,
        "token_endpoint": client.post,
        "revocation_endpoint": client.post,
        "introspection_endpoint": client.post,
        "registration_endpoint": client.post,
        "userinfo_endpoint": client.get,
        "jwks_uri": client.get,
    }
    listed = {name for name in advertised if name.endswith(("_endpoint", "_uri"))}
    assert listed == set(empty)
    for name, send in empty.items():
        path = advertised[name].removeprefix(ISSUER)
        assert path.startswith("/")
        assert send(path).status_code in (200, 400, 401), name


@pytest.mark.requirement("advertised-grants")
@pytest.mark.parametrize("grant_type", GRANT_TYPES)
def test_grant_type_works_if_and_only_if_it_is_listed(
    app: ReplayedClient, advertised: dict[str, Any], grant_type: str
) -> None:
    asked = {"grant_type": grant_type, "client_id": app.client_id, "code": "x", "refresh_token": "x"}
    answer = post_form("/token", {**asked, "redirect_uri": REDIRECT_URI, "code_verifier": "v" * 43})
    is_known = json_of(answer, 400)["error"] != "unsupported_grant_type"
    assert is_known is (grant_type in advertised["grant_types_supported"])


@pytest.mark.requirement("advertised-methods")
@pytest.mark.parametrize("method", AUTH_METHODS)
def test_authentication_method_can_be_registered_and_used_if_and_only_if_it_is_listed(
    browser: Browser, advertised: dict[str, Any], client_key: SigningJwk, method: str
) -> None:
    keys = {"jwks": {"keys": [client_key.public]}} if method == "private_key_jwt" else {}
    document = {**DOCUMENT, **keys, "token_endpoint_auth_method": method}
    if method not in advertised["token_endpoint_auth_methods_supported"]:
        refused = browser.post("/register", document, content_type="application/json")
        assert json_of(refused, 400)["error"] == "invalid_client_metadata"
        return
    app = ReplayedClient(register(document), REDIRECT_URI)
    tokens = json_of(exchange(app, app.log_in(browser)["code"], method, client_key), 200)
    token = {"token": tokens["access_token"]}
    prove(app, method, client_key)
    may_introspect = method in advertised["introspection_endpoint_auth_methods_supported"]
    introspected = post_form("/token/introspection", {**token, **body_of(app)}, **app.headers)
    assert introspected.status_code == (200 if may_introspect else 401)
    assert method in advertised["revocation_endpoint_auth_methods_supported"]
    prove(app, method, client_key)
    json_of(post_form("/token/revocation", {**token, **body_of(app)}, **app.headers), 200)


@pytest.mark.requirement("advertised-methods")
@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("RS256", "RS256"), ("PS256", "RS256"), ("ES256", "ES256"), ("EdDSA", "EdDSA"), ("RS384", "RS256")],
)
def test_algorithm_of_assertions_works_if_and_only_if_it_is_listed(
    browser: Browser, advertised: dict[str, Any], algorithm: str, kind: str
) -> None:
    key = replace(generate_jwk(kind), algorithm=algorithm)
    published = {name: value for name, value in key.public.items() if name != "alg"}
    document = {**DOCUMENT, "jwks": {"keys": [published]}, "token_endpoint_auth_method": "private_key_jwt"}
    app = ReplayedClient(register(document), REDIRECT_URI)
    is_listed = algorithm in advertised["token_endpoint_auth_signing_alg_values_supported"]
    answer = exchange(app, app.log_in(browser)["code"], "private_key_jwt", key)
    assert answer.status_code == (200 if is_listed else 401)


@pytest.mark.requirement("advertised-requests")
@pytest.mark.parametrize("response_type", RESPONSE_TYPES)
def test_response_type_works_if_and_only_if_it_is_listed(
    browser: Browser, app: ReplayedClient, advertised: dict[str, Any], response_type: str
) -> None:
    error = error_of(app.ask(browser, response_type=response_type))
    is_listed = response_type in advertised["response_types_supported"]
    assert error == (None if is_listed else "unsupported_response_type")


@pytest.mark.requirement("advertised-requests")
@pytest.mark.parametrize("response_mode", RESPONSE_MODES)
def test_response_mode_works_if_and_only_if_it_is_listed(
    browser: Browser, app: ReplayedClient, advertised: dict[str, Any], response_mode: str
) -> None:
    error = error_of(app.ask(browser, response_mode=response_mode))
    assert error == (None if response_mode in advertised["response_modes_supported"] else "invalid_request")


@pytest.mark.requirement("advertised-requests")
@pytest.mark.parametrize("method", ["S256", "plain", "S512"])
def test_challenge_method_works_if_and_only_if_it_is_listed(
    browser: Browser, app: ReplayedClient, advertised: dict[str, Any], method: str
) -> None:
    error = error_of(app.ask(browser, code_challenge_method=method))
    assert error == (None if method in advertised["code_challenge_methods_supported"] else "invalid_request")


@pytest.mark.requirement("advertised-requests")
@pytest.mark.parametrize("parameter", ["request", "request_uri"])
def test_request_objects_are_refused_as_the_metadata_says(
    browser: Browser, app: ReplayedClient, advertised: dict[str, Any], parameter: str
) -> None:
    assert advertised["request_uri_parameter_supported"] is False
    assert "request_parameter_supported" not in advertised
    assert error_of(app.ask(browser, **{parameter: "x"})) == "invalid_request"


@pytest.mark.requirement("advertised-prompts")
def test_each_prompt_that_is_listed_does_what_it_means(
    browser: Browser, app: ReplayedClient, advertised: dict[str, Any]
) -> None:
    assert advertised["prompt_values_supported"] == PROMPTS
    assert error_of(app.ask(browser, prompt="none")) == "consent_required"
    for prompt in ("login", "select_account"):
        assert app.ask(browser, prompt=prompt)["Location"].startswith("/accounts/login/")
    app.log_in(browser)
    assert [app.ask(browser, **changes).status_code for changes in ({}, {"prompt": "consent"})] == [302, 200]


@pytest.mark.requirement("advertised-scopes")
def test_scopes_that_are_listed_are_granted_and_no_others(
    browser: Browser, app: ReplayedClient, advertised: dict[str, Any]
) -> None:
    app.scope = " ".join(SCOPES)
    tokens = json_of(app.exchange(app.log_in(browser)["code"]), 200)
    assert set(tokens["scope"].split()) == set(advertised["scopes_supported"])
    assert set(advertised["scopes_supported"]) < set(SCOPES)


@pytest.mark.requirement("advertised-algorithms")
def test_id_tokens_are_signed_by_a_listed_algorithm_with_a_published_key(
    browser: Browser, app: ReplayedClient, advertised: dict[str, Any]
) -> None:
    app.scope = "openid"
    tokens = json_of(app.exchange(app.log_in(browser)["code"]), 200)
    keys = KeySet.import_key_set(browser.get(advertised["jwks_uri"].removeprefix(ISSUER)).json())
    algorithms = advertised["id_token_signing_alg_values_supported"]
    claims = jwt.decode(tokens["id_token"], keys, algorithms=algorithms).claims
    assert claims["iss"] == advertised["issuer"]


@pytest.mark.requirement("advertised-scopes")
def test_resources_that_are_listed_have_metadata_and_take_a_connection_and_no_others_do(
    browser: Browser, app: ReplayedClient, advertised: dict[str, Any]
) -> None:
    for resource in advertised["protected_resources"]:
        path = resource.removeprefix(ISSUER)
        assert browser.get(f"/.well-known/oauth-protected-resource{path}").json()["resource"] == resource
        assert app.ask(browser, resource=resource).status_code == 200
    assert error_of(app.ask(browser, resource=f"{ISSUER}/other")) == "invalid_target"


def prove(app: ReplayedClient, method: str, key: SigningJwk) -> None:
    """Let the client authenticate by `method` in its next request."""
    secret = str(app.registered.get("client_secret"))
    by_method: dict[str, Callable[[], tuple[dict[str, str], dict[str, str]]]] = {
        "none": lambda: ({"client_id": app.client_id}, {}),
        "client_secret_basic": lambda: ({}, {"Authorization": basic(app.client_id, secret)}),
        "client_secret_post": lambda: ({"client_id": app.client_id, "client_secret": secret}, {}),
        "private_key_jwt": lambda: (sign(app.client_id, key), {}),
    }
    app.credentials, app.headers = by_method[method]()


def exchange(app: ReplayedClient, code: str, method: str, key: SigningJwk) -> Any:
    """The answer to its token request, authenticated by `method`."""
    prove(app, method, key)
    return app.exchange(code)


def body_of(app: ReplayedClient) -> dict[str, str]:
    """What of its credentials goes into the body."""
    return app.credentials or {}
