"""How clients prove themselves at the token endpoint (RFC 6749 2.3), over HTTP."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import pytest

from mcp_oidc.core.clients import Registration
from mcp_oidc.core.revocation import block_client, delete_client
from mcp_oidc.models import AbstractClient
from tests.server.authorizations import assert_still_good, basic, code_params, json_of, post_form, refresh_params


@pytest.mark.requirement("client-basic")
@pytest.mark.parametrize("encode", [str, quote])
def test_confidential_client_may_use_the_header(
    confidential_client: Registration, confidential_code: str, encode: Any
) -> None:
    client, secret = confidential_client.client, str(confidential_client.secret)
    header = basic(encode(client.client_id), encode(secret))
    asked = code_params(client, confidential_code, client_id=None)
    json_of(post_form("/token", asked, Authorization=header), 200)


@pytest.mark.requirement("client-basic")
def test_header_is_form_decoded(confidential_client: Registration, confidential_code: str) -> None:
    client, secret = confidential_client.client, str(confidential_client.secret)
    escaped = "".join(f"%{ord(char):02X}" for char in secret)
    # The official SDK repeats the id in the body.
    header = basic(client.client_id, escaped)
    json_of(post_form("/token", code_params(client, confidential_code), Authorization=header), 200)


def test_confidential_client_may_use_the_body(confidential_client: Registration, confidential_code: str) -> None:
    asked = code_params(confidential_client.client, confidential_code, client_secret=str(confidential_client.secret))
    json_of(post_form("/token", asked), 200)


@pytest.mark.requirement("client-one-method")
def test_two_methods_at_once_are_refused(confidential_client: Registration, confidential_code: str) -> None:
    client, secret = confidential_client.client, str(confidential_client.secret)
    asked = code_params(client, confidential_code, client_secret=secret)
    response = post_form("/token", asked, Authorization=basic(client.client_id, secret))
    assert json_of(response, 400)["error"] == "invalid_request"
    other_id = code_params(client, confidential_code, client_id="another")
    response = post_form("/token", other_id, Authorization=basic(client.client_id, secret))
    assert json_of(response, 400)["error"] == "invalid_request"


def assert_is_unknown(response: Any) -> None:
    """MCP clients that read this register again."""
    assert json_of(response, 401)["error"] == "invalid_client"
    assert response["WWW-Authenticate"].startswith("Basic ")
    assert response["Cache-Control"] == "no-store"


@pytest.mark.requirement("token-invalid-client")
@pytest.mark.parametrize("changes", [{"client_id": None}, {"client_id": "unknown"}, {"client_id": "x" * 2000}])
def test_unknown_client_is_told_so(public_client: AbstractClient, code: str, changes: dict[str, Any]) -> None:
    assert_is_unknown(post_form("/token", code_params(public_client, code, **changes)))
    assert_still_good(public_client, code)


@pytest.mark.requirement("token-invalid-client")
@pytest.mark.parametrize("end", [block_client, delete_client])
def test_blocked_or_deleted_client_is_told_so(public_client: AbstractClient, tokens: dict[str, str], end: Any) -> None:
    end(public_client)
    assert_is_unknown(post_form("/token", refresh_params(public_client, tokens)))


@pytest.mark.requirement("token-invalid-client")
def test_client_id_in_another_case_is_unknown(public_client: AbstractClient, code: str) -> None:
    asked = code_params(public_client, code, client_id=public_client.client_id.swapcase())
    assert_is_unknown(post_form("/token", asked))


@pytest.mark.requirement("token-invalid-client")
@pytest.mark.parametrize("secret", [None, "", "wrong", "ü"])
def test_confidential_client_without_its_secret_is_refused(
    confidential_client: Registration, confidential_code: str, secret: str | None
) -> None:
    client = confidential_client.client
    assert_is_unknown(post_form("/token", code_params(client, confidential_code, client_secret=secret)))
    asked = code_params(client, confidential_code)
    assert_is_unknown(post_form("/token", asked, Authorization=basic(client.client_id, secret or "")))


@pytest.mark.requirement("token-invalid-client")
def test_stored_hash_of_a_secret_is_no_secret(confidential_client: Registration, confidential_code: str) -> None:
    hashed = confidential_client.client.client_secret
    asked = code_params(confidential_client.client, confidential_code, client_secret=hashed)
    assert_is_unknown(post_form("/token", asked))


@pytest.mark.requirement("token-invalid-client")
def test_public_client_with_a_secret_is_refused(public_client: AbstractClient, code: str) -> None:
    assert_is_unknown(post_form("/token", code_params(public_client, code, client_secret="made up")))
    header = basic(public_client.client_id, "made up")
    assert_is_unknown(post_form("/token", code_params(public_client, code), Authorization=header))
    assert_still_good(public_client, code)


@pytest.mark.requirement("token-invalid-client")
@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic ", "Basic !", "Basic ====", "basic " + "A" * 5000, "Basic w7w=", "Basic \xff", "Basic Og=="],
)
def test_malformed_basic_header_is_refused(public_client: AbstractClient, code: str, header: str) -> None:
    assert_is_unknown(post_form("/token", code_params(public_client, code), Authorization=header))


@pytest.mark.parametrize("header", ["Bearer abc", "Digest a=b", "Negotiate", "nonsense", ""])
def test_other_authorization_schemes_are_not_the_clients(public_client: AbstractClient, code: str, header: str) -> None:
    json_of(post_form("/token", code_params(public_client, code), Authorization=header), 200)


def test_basic_scheme_has_no_case(confidential_client: Registration, confidential_code: str) -> None:
    client = confidential_client.client
    header = basic(client.client_id, str(confidential_client.secret)).replace("Basic", "bAsIc")
    json_of(post_form("/token", code_params(client, confidential_code), Authorization=header), 200)


def test_unicode_in_base64_is_not_a_crash(public_client: AbstractClient) -> None:
    header = "Basic " + base64.b64encode(b"\xff\xfe:\x00").decode()
    assert_is_unknown(post_form("/token", {"grant_type": "refresh_token"}, Authorization=header))
