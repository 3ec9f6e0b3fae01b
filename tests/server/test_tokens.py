"""The token endpoint (RFC 6749 3.2, 4.1.3, 6), over HTTP."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client as Browser
from django.test import override_settings

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import Registration, register
from mcp_oidc.models import AbstractClient
from tests.factories import ISSUER, RESOURCE, make_metadata
from tests.server.authorizations import (
    FORM,
    approve,
    assert_still_good,
    code_params,
    json_of,
    post_form,
    redeem,
    refresh_params,
)


def post_raw(body: str | bytes, content_type: str = FORM, **headers: str) -> Any:
    return Browser(enforce_csrf_checks=True).post("/token", body, content_type=content_type, headers=headers)


@pytest.mark.requirement("token-response")
def test_code_is_exchanged_for_all_tokens(public_client: AbstractClient, code: str) -> None:
    response = post_form("/token", code_params(public_client, code, resource=RESOURCE))
    document = json_of(response, 200)
    assert set(document) == {"access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token"}
    assert (document["token_type"], document["expires_in"], document["scope"]) == ("Bearer", 3600, "openid mcp")
    assert all(document.values())
    assert response["Cache-Control"] == "no-store"
    assert response["Pragma"] == "no-cache"


@pytest.mark.requirement("token-response")
def test_refresh_token_is_exchanged_for_its_successor(public_client: AbstractClient, tokens: dict[str, str]) -> None:
    response = post_form("/token", refresh_params(public_client, tokens))
    document = json_of(response, 200)
    assert set(document) == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert document["refresh_token"] != tokens["refresh_token"]
    assert response["Cache-Control"] == "no-store"


@pytest.mark.requirement("no-null")
def test_client_without_the_refresh_grant_gets_no_refresh_token(browser: Browser) -> None:
    client = register(make_metadata(grant_types=["authorization_code"]), caller=Caller()).client
    code = approve(browser, client, scope="mcp")["code"]
    document = json_of(post_form("/token", code_params(client, code)), 200)
    assert set(document) == {"access_token", "token_type", "expires_in", "scope"}


@pytest.mark.parametrize("name", ["grant_type", "code", "redirect_uri", "code_verifier"])
@pytest.mark.parametrize("value", [None, ""])
def test_missing_parameter_is_named(public_client: AbstractClient, code: str, name: str, value: str | None) -> None:
    document = json_of(post_form("/token", code_params(public_client, code, **{name: value})), 400)
    assert document["error"] == "invalid_request"
    assert name in document["error_description"]
    assert_still_good(public_client, code)


def test_missing_refresh_token_is_named(public_client: AbstractClient) -> None:
    asked = {"grant_type": "refresh_token", "client_id": public_client.client_id}
    document = json_of(post_form("/token", asked), 400)
    assert document["error"] == "invalid_request"
    assert "refresh_token" in document["error_description"]


REFUSED = [
    ({"code": "mcpc_nonsense"}, "invalid_grant"),
    ({"code": "ü" * 500}, "invalid_grant"),
    ({"code_verifier": "x" * 43}, "invalid_grant"),
    ({"code_verifier": "short"}, "invalid_grant"),
    ({"code_verifier": "ü" * 43}, "invalid_grant"),
    ({"redirect_uri": "http://127.0.0.1:33419/callback"}, "invalid_grant"),
    ({"redirect_uri": "https://evil.example"}, "invalid_grant"),
    ({"resource": f"{RESOURCE}/plain"}, "invalid_target"),
    ({"resource": f"{RESOURCE}/"}, "invalid_target"),
    ({"resource": "https://elsewhere.example"}, "invalid_target"),
    ({"grant_type": "password"}, "unsupported_grant_type"),
    ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
    ({"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}, "unsupported_grant_type"),
    ({"grant_type": "AUTHORIZATION_CODE"}, "unsupported_grant_type"),
]


@pytest.mark.requirement("token-errors")
@pytest.mark.parametrize(("changes", "error"), REFUSED)
def test_refusal_has_the_right_code_and_uses_nothing_up(
    public_client: AbstractClient, code: str, changes: dict[str, str], error: str
) -> None:
    response = post_form("/token", code_params(public_client, code, **changes))
    assert json_of(response, 400)["error"] == error
    assert response["Cache-Control"] == "no-store"
    assert_still_good(public_client, code)


def test_grant_type_that_a_client_did_not_register_is_refused(browser: Browser) -> None:
    client = register(make_metadata(grant_types=["authorization_code"]), caller=Caller()).client
    asked = {"grant_type": "refresh_token", "client_id": client.client_id, "refresh_token": "mcpr_x"}
    assert json_of(post_form("/token", asked), 400)["error"] == "unauthorized_client"


@pytest.mark.requirement("token-errors")
def test_code_of_another_client_is_refused_and_still_good(
    public_client: AbstractClient, code: str, confidential_client: Registration
) -> None:
    asked = code_params(confidential_client.client, code, client_secret=str(confidential_client.secret))
    assert json_of(post_form("/token", asked), 400)["error"] == "invalid_grant"
    assert_still_good(public_client, code)


@pytest.mark.parametrize("changes", [{"scope": "openid mcp notes:write"}, {"scope": "unheard-of"}])
def test_refresh_widens_nothing(public_client: AbstractClient, tokens: dict[str, str], changes: dict[str, str]) -> None:
    refused = post_form("/token", refresh_params(public_client, tokens, **changes))
    assert json_of(refused, 400)["error"] == "invalid_scope"
    json_of(post_form("/token", refresh_params(public_client, tokens)), 200)


def test_narrower_scopes_last_for_one_access_token(public_client: AbstractClient, tokens: dict[str, str]) -> None:
    narrow = json_of(post_form("/token", refresh_params(public_client, tokens, scope="mcp")), 200)
    assert narrow["scope"] == "mcp"
    again = json_of(post_form("/token", refresh_params(public_client, narrow)), 200)
    assert again["scope"] == "openid mcp"


def test_scope_that_is_too_long_is_refused(public_client: AbstractClient, tokens: dict[str, str]) -> None:
    response = post_form("/token", refresh_params(public_client, tokens, scope="x" * 2001))
    assert json_of(response, 400)["error"] == "invalid_request"


@pytest.mark.requirement("token-form-only")
@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "application/json", "text/plain", ""])
def test_other_content_types_are_refused(public_client: AbstractClient, code: str, content_type: str) -> None:
    body = urlencode(code_params(public_client, code))
    assert json_of(post_raw(body, content_type), 400)["error"] == "invalid_request"
    assert_still_good(public_client, code)


def test_charset_of_the_content_type_does_not_matter(public_client: AbstractClient, code: str) -> None:
    json_of(post_raw(urlencode(code_params(public_client, code)), f"{FORM}; charset=UTF-8"), 200)


@pytest.mark.requirement("no-doubled-parameter")
@pytest.mark.parametrize("name", ["grant_type", "code", "client_id", "resource", "unknown"])
def test_doubled_parameter_is_refused(public_client: AbstractClient, code: str, name: str) -> None:
    params = code_params(public_client, code)
    body = f"{urlencode(params)}&{urlencode([(name, params.get(name, 'x'))] * (1 if name in params else 2))}"
    document = json_of(post_raw(body), 400)
    assert document["error"] == "invalid_request"
    assert name in document["error_description"]
    assert_still_good(public_client, code)


@pytest.mark.requirement("token-form-only")
def test_parameters_of_the_query_are_not_looked_at(public_client: AbstractClient, code: str) -> None:
    query = urlencode(code_params(public_client, code))
    browser = Browser()
    assert json_of(browser.post(f"/token?{query}", "foo=bar", content_type=FORM), 401)["error"] == "invalid_client"
    elsewhere = urlencode({"grant_type": "password", "code": "x", "client_id": "y", "scope": "%zz"})
    response = browser.post(f"/token?{elsewhere}", urlencode(code_params(public_client, code)), content_type=FORM)
    json_of(response, 200)


def test_cookies_of_a_browser_are_neither_needed_nor_looked_at(
    browser: Browser, public_client: AbstractClient, code: str
) -> None:
    assert {"sessionid", "csrftoken"} <= set(browser.cookies)
    response = browser.post("/token", urlencode(code_params(public_client, code)), content_type=FORM)
    json_of(response, 200)
    assert not response.cookies
    assert "Cookie" not in response["Vary"]


def test_error_descriptions_hold_only_what_rfc_6749_allows_there(public_client: AbstractClient) -> None:
    odd = urlencode([('"ü\\\r\n', "x")] * 2)
    description = json_of(post_raw(odd), 400)["error_description"]
    assert all(char in "\x20\x21" or "\x23" <= char <= "\x5b" or "\x5d" <= char <= "\x7e" for char in description)


def test_access_tokens_live_as_long_as_the_settings_say(browser: Browser, public_client: AbstractClient) -> None:
    with override_settings(MCP_OIDC={"ISSUER": ISSUER, "ACCESS_TOKEN_LIFETIME": 120}):
        assert redeem(browser, public_client)["expires_in"] == 120
