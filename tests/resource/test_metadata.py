"""Protected resource metadata (RFC 9728), over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from django.test import Client, override_settings

from tests.factories import ISSUER

pytestmark = pytest.mark.urls("tests.resource.urls")

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def configured(resources: Mapping[str, Any], **members: Any) -> Any:
    return override_settings(MCP_OIDC={"ISSUER": ISSUER, "RESOURCES": resources, **members})


def test_document_of_a_resource_names_it_its_issuer_and_its_scopes(client: Client) -> None:
    response = client.get(f"{WELL_KNOWN}/mcp")
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert response.json() == {
        "resource": f"{ISSUER}/mcp",
        "authorization_servers": [ISSUER],
        "scopes_supported": ["mcp"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Test tools",
    }


@pytest.mark.requirement("resource-metadata")
def test_each_resource_has_a_document_of_its_own(client: Client) -> None:
    assert client.get(f"{WELL_KNOWN}/mcp/plain").json()["resource"] == f"{ISSUER}/mcp/plain"


def test_what_is_not_set_is_left_out(client: Client) -> None:
    with configured({"/mcp": {"SCOPES": []}}):
        document = client.get(f"{WELL_KNOWN}/mcp").json()
    assert document == {
        "resource": f"{ISSUER}/mcp",
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
    }


def test_documentation_and_scopes_are_told_where_they_are_set(client: Client) -> None:
    with configured({"/mcp": {"SCOPES": ["notes:read"], "DOCUMENTATION": "https://docs.example/mcp"}}):
        document = client.get(f"{WELL_KNOWN}/mcp").json()
    assert document["scopes_supported"] == ["notes:read"]
    assert document["resource_documentation"] == "https://docs.example/mcp"


def test_resource_at_an_absolute_url_keeps_every_character_of_it(client: Client) -> None:
    with configured({"https://Tools.example/mcp/": {}}):
        assert client.get(f"{WELL_KNOWN}/mcp/").json()["resource"] == "https://Tools.example/mcp/"
        assert client.get(f"{WELL_KNOWN}/mcp").status_code == 404


def test_root_form_serves_the_only_resource(client: Client) -> None:
    with configured({"/mcp": {}}):
        assert client.get(WELL_KNOWN).json()["resource"] == f"{ISSUER}/mcp"


def test_root_form_does_not_choose_among_several(client: Client) -> None:
    assert client.get(WELL_KNOWN).status_code == 404


@pytest.mark.parametrize("key", ["/", "http://testserver/", "http://testserver"])
def test_root_form_serves_the_resource_at_the_root(client: Client, key: str) -> None:
    with configured({"/mcp": {}, key: {}}):
        document = client.get(WELL_KNOWN).json()
    assert document["resource"] == (f"{ISSUER}/" if key == "/" else key)


@pytest.mark.parametrize("path", ["/nothing", "/mcp/", "/mcp/plain/more", "//mcp", "/MCP", "/%00", "/%ff"])
def test_unknown_path_is_not_found_in_json(client: Client, path: str) -> None:
    response = client.get(f"{WELL_KNOWN}{path}")
    assert response.status_code == 404
    assert response.json()["error"] == "not_found"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_document_can_only_be_read(client: Client, method: str) -> None:
    response = client.generic(method, f"{WELL_KNOWN}/mcp")
    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD, OPTIONS"
    assert response.json()["error"] == "invalid_request"


def test_head_and_options_are_answered(client: Client) -> None:
    assert client.head(f"{WELL_KNOWN}/mcp").status_code == 200
    options = client.options(f"{WELL_KNOWN}/mcp")
    assert (options.status_code, options["Allow"]) == (204, "GET, HEAD, OPTIONS")


def test_document_may_be_cached_for_a_short_time(client: Client) -> None:
    assert client.get(f"{WELL_KNOWN}/mcp")["Cache-Control"] == "public, max-age=300"


def test_pages_of_any_origin_may_read_it(client: Client) -> None:
    response = client.get(f"{WELL_KNOWN}/mcp", headers={"Origin": "https://inspector.example"})
    assert response["Access-Control-Allow-Origin"] == "*"


def test_challenge_points_at_a_document_that_is_there(client: Client) -> None:
    challenge = client.post("/sync/plain")["WWW-Authenticate"]
    url = challenge.partition('resource_metadata="')[2].rstrip('"')
    assert client.get(url.removeprefix(ISSUER)).json()["resource"] == f"{ISSUER}/mcp/plain"
