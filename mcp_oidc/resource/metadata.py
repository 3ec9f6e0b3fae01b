"""Protected resource metadata (RFC 9728): where a client learns who issues tokens for an endpoint."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse

from mcp_oidc.conf import Resource, app_settings, issuer_of

# Five minutes. Short, so that a changed setting reaches clients soon.
CACHE_CONTROL = "public, max-age=300"
_METHODS = ("GET", "HEAD", "OPTIONS")


def protected_resource(request: HttpRequest, path: str = "") -> HttpResponse:
    """The metadata document of the resource at `path`; without a path, of the only resource (RFC 9728 3.1)."""
    if request.method == "OPTIONS":
        return HttpResponse(status=204, headers={"Allow": ", ".join(_METHODS)})
    if request.method not in _METHODS:
        return _error(405, "invalid_request", "This document can only be read.", {"Allow": ", ".join(_METHODS)})
    issuer = issuer_of(request)
    resource = _find_resource(path, issuer)
    if resource is None:
        return _error(404, "not_found", "There is no protected resource of this path.", {})
    return JsonResponse(metadata_of(resource, issuer), headers={"Cache-Control": CACHE_CONTROL})


def metadata_of(resource: Resource, issuer: str) -> dict[str, str | list[str]]:
    """The document itself (RFC 9728 2). What is not set is left out: no member is null or empty."""
    document: dict[str, str | list[str]] = {
        "resource": resource.identifier,
        "authorization_servers": [issuer],
        "scopes_supported": list(resource.scopes),
        "bearer_methods_supported": ["header"],
        "resource_name": resource.name,
        "resource_documentation": resource.documentation,
    }
    return {name: value for name, value in document.items() if value}


def _find_resource(path: str, issuer: str) -> Resource | None:
    resources = app_settings.resources(issuer)
    wanted = f"/{path}"
    # A resource at the root of its host has its metadata at the root form, with or without a slash of its own.
    found = next((resource for resource in resources if (resource.path or "/") == wanted), None)
    if found is None and not path and len(resources) == 1:
        return resources[0]
    return found


def _error(status: int, code: str, description: str, headers: dict[str, str]) -> HttpResponse:
    body = {"error": code, "error_description": description}
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store", **headers})
