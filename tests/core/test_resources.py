"""Resources: which endpoint a request is about, and the scopes of a token for it."""

from __future__ import annotations

import pytest
from django.conf import LazySettings

from mcp_oidc.conf import app_settings
from mcp_oidc.core.resources import find_resource, scopes_to_grant
from mcp_oidc.errors import InvalidTarget
from tests.factories import ISSUER, RESOURCE


def test_resource_is_found_by_its_identifier() -> None:
    assert find_resource("http://testserver/mcp/plain", ISSUER).identifier == "http://testserver/mcp/plain"


def test_client_that_names_none_gets_the_first() -> None:
    assert find_resource(None, ISSUER).identifier == RESOURCE


@pytest.mark.requirement("invalid-target")
@pytest.mark.parametrize(
    "identifier",
    [
        "",
        "/mcp",
        RESOURCE + "/",
        RESOURCE + "#x",
        RESOURCE + "?",
        "HTTP://testserver/mcp",
        "http://evil.example/mcp",
        "\0",
    ],
)
def test_resource_that_is_not_ours_is_an_invalid_target(identifier: str) -> None:
    with pytest.raises(InvalidTarget):
        find_resource(identifier, ISSUER)


@pytest.mark.requirement("unknown-scope-dropped")
@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ((), ("mcp",)),
        (("openid", "email", "offline_access"), ("openid", "email", "mcp")),
        (("notes:write", "mcp"), ("notes:write", "mcp")),
        (("other:scope",), ("mcp",)),
    ],
)
def test_known_scopes_and_those_of_the_resource_are_granted(asked: tuple[str, ...], granted: tuple[str, ...]) -> None:
    assert scopes_to_grant(asked, find_resource(RESOURCE, ISSUER)) == granted


def test_resource_elsewhere_keeps_its_own_url_and_scopes(settings: LazySettings) -> None:
    settings.MCP_OIDC = {
        **settings.MCP_OIDC,
        "RESOURCES": {"https://tools.example/mcp": {"SCOPES": "tools", "TOOL_SCOPES": {"drop": ["tools:admin"]}}},
    }
    resource = find_resource(None, "https://auth.example/tenant")
    assert (resource.identifier, resource.scopes) == ("https://tools.example/mcp", ("tools",))
    assert resource.metadata_url == "https://tools.example/.well-known/oauth-protected-resource/mcp"
    assert scopes_to_grant(("tools:admin", "mcp"), resource) == ("tools:admin", "mcp", "tools")


def test_path_belongs_to_the_origin_of_an_issuer_with_a_path() -> None:
    assert [item.identifier for item in app_settings.resources("https://auth.example/tenant")] == [
        "https://auth.example/mcp",
        "https://auth.example/mcp/plain",
    ]
