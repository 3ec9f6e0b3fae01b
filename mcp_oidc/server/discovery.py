"""Metadata (RFC 8414, OpenID Connect Discovery) and keys. One function makes both documents, so they agree."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from mcp_oidc.conf import app_settings, issuer_of
from mcp_oidc.core.keys import key_ring
from mcp_oidc.errors import NotFound
from mcp_oidc.protocol.claims import CLAIMS_SUPPORTED
from mcp_oidc.protocol.client_assertions import ALGORITHMS
from mcp_oidc.protocol.client_metadata import AUTH_METHODS, GRANT_TYPES
from mcp_oidc.protocol.jwks import public_jwks
from mcp_oidc.protocol.token_exchange import TOKEN_EXCHANGE
from mcp_oidc.protocol.uris import origin_of
from mcp_oidc.server.responses import endpoint, error_response, public_json

# RFC 8414 2: with private_key_jwt, the algorithms have to be named.
_AUTHENTICATING = ("token_endpoint", "revocation_endpoint", "introspection_endpoint")


@endpoint("GET", "HEAD")
def metadata(request: HttpRequest, document: str, path: str = "") -> HttpResponse:
    """The server's metadata, at the well-known path of `document`.

    The issuer's own path stands behind the well-known part (RFC 8414 3.1) or before it (OpenID Connect Discovery 4.1);
    any other path would be another issuer's, and is not found.
    """
    issuer = issuer_of(request)
    issuer_path = issuer.removeprefix(origin_of(issuer))
    well_known = f"/.well-known/{document}"
    if request.path not in (well_known + issuer_path, issuer_path + well_known):
        return error_response(NotFound("No server of this path is here."))
    return public_json(_metadata(issuer))


@endpoint("GET", "HEAD")
def jwks(request: HttpRequest) -> HttpResponse:
    """The public keys (RFC 7517)."""
    return public_json(public_jwks(key_ring().keys))


def endpoint_url(issuer: str, view: str) -> str:
    """The public URL of one of our endpoints: below the issuer, wherever the URLs are mounted."""
    # The issuer's path is already part of the issuer.
    mount = reverse("mcp_oidc:authorize").removesuffix("/authorize")
    return issuer + reverse(f"mcp_oidc:{view}").removeprefix(mount)


def _metadata(issuer: str) -> dict[str, Any]:
    return {
        "issuer": issuer,
        **{name: endpoint_url(issuer, view) for name, view in _endpoints().items()},
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [*GRANT_TYPES, TOKEN_EXCHANGE],
        "token_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "revocation_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "introspection_endpoint_auth_methods_supported": [method for method in AUTH_METHODS if method != "none"],
        **{f"{name}_auth_signing_alg_values_supported": list(ALGORITHMS) for name in _AUTHENTICATING},
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": _scopes(issuer),
        "authorization_response_iss_parameter_supported": True,
        "client_id_metadata_document_supported": app_settings.REGISTRATION != "closed",
        # OpenID Connect Discovery 3: it counts as supported where it is left out.
        "request_uri_parameter_supported": False,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": list(dict.fromkeys(key.algorithm for key in key_ring().keys)),
        "claims_supported": list(CLAIMS_SUPPORTED),
        "protected_resources": [resource.identifier for resource in app_settings.resources(issuer)],
    }


def _endpoints() -> dict[str, str]:
    endpoints = {
        "authorization_endpoint": "authorize",
        "token_endpoint": "token",
        "revocation_endpoint": "revocation",
        "introspection_endpoint": "introspection",
        "userinfo_endpoint": "userinfo",
        "jwks_uri": "jwks",
    }
    if app_settings.REGISTRATION == "open":
        endpoints["registration_endpoint"] = "register"
    return endpoints


def _scopes(issuer: str) -> list[str]:
    every = [scope for resource in app_settings.resources(issuer) for scope in app_settings.scopes_for(resource)]
    return list(dict.fromkeys(every))
