"""Protected resource metadata (RFC 9728): where it is, and what it says."""

from __future__ import annotations

from urllib.parse import urlsplit

from mcp_oidc.protocol.uris import origin_of

# Five minutes. Short, so that a changed setting reaches clients soon.
CACHE_CONTROL = "public, max-age=300"


def metadata_url_of(resource: str) -> str:
    """Where the document of the resource of this identifier is (RFC 9728 3.1)."""
    path = urlsplit(resource).path
    # A slash that only ends the host is taken away first.
    return f"{origin_of(resource)}/.well-known/oauth-protected-resource{'' if path == '/' else path}"


def metadata_document(
    resource: str, *, issuer: str, scopes: tuple[str, ...], name: str, documentation: str
) -> dict[str, str | list[str]]:
    """The document itself (RFC 9728 2). What is not set is left out: no member is null or empty."""
    document: dict[str, str | list[str]] = {
        "resource": resource,
        "authorization_servers": [issuer],
        "scopes_supported": list(scopes),
        "bearer_methods_supported": ["header"],
        "resource_name": name,
        "resource_documentation": documentation,
    }
    return {name: value for name, value in document.items() if value}
