"""Protected resource metadata (RFC 9728): where a client learns who issues tokens for an endpoint."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse

from mcp_oidc.conf import Resource, app_settings, issuer_of
from mcp_oidc.protocol.resource_metadata import CACHE_CONTROL, metadata_document

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
    """The document of one of our resources."""
    return metadata_document(
        resource.identifier,
        issuer=issuer,
        scopes=resource.scopes,
        name=resource.name,
        documentation=resource.documentation,
    )


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
