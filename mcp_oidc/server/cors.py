"""CORS (Fetch): django-cors-headers, taught which of our paths are open to whom. Other paths stay the project's."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from corsheaders.middleware import CorsMiddleware as CorsHeadersMiddleware
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import NoReverseMatch, URLResolver, get_resolver, get_script_prefix, get_urlconf, reverse
from django.utils.cache import patch_vary_headers

from mcp_oidc.conf import app_settings, issuer_of
from mcp_oidc.protocol import cors
from mcp_oidc.protocol.uris import origin_of

_DOCUMENTS = ("oauth-authorization-server", "openid-configuration", "oauth-protected-resource")
_PAGES = ("authorize", "login", "callback", "logout")
_CLIENT_ENDPOINTS = ("token", "revocation", "introspection", "register", "userinfo")


class CorsMiddleware(CorsHeadersMiddleware):
    """Put this in MIDDLEWARE, first, in the place of `corsheaders.middleware.CorsMiddleware`.

    Metadata and keys are open to any origin; endpoints that clients call, and MCP endpoints served by Django, to our
    own origin, the MCP Inspector's and CORS_ORIGINS; pages to none. Cookies are never allowed.
    """

    def is_enabled(self, request: HttpRequest) -> bool:
        return _allowed_origins(request) is not None or bool(super().is_enabled(request))

    def add_response_headers(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        origins = _allowed_origins(request)
        if origins is None:
            answer: HttpResponseBase = super().add_response_headers(request, response)
            return answer
        patch_vary_headers(response, ("Origin",))
        headers = cors.response_headers(
            request.headers.get("Origin"), origins, is_preflight=request.method == "OPTIONS"
        )
        for name, value in headers.items():
            response[name] = value
        return response


@dataclass(frozen=True)
class _Paths:
    """Where our URLs are mounted, by who may read their answers."""

    documents: tuple[str, ...]
    keys: str
    pages: frozenset[str]
    client_endpoints: frozenset[str]
    registrations: str


def _allowed_origins(request: HttpRequest) -> Collection[str] | None:
    """Who may read the answer: ANY_ORIGIN, a set of origins, or None for paths that are not ours."""
    try:
        return _origins_for(request)
    except (NoReverseMatch, ImproperlyConfigured):
        # `check` says what is missing; until then the project's other pages go on.
        return None


def _origins_for(request: HttpRequest) -> Collection[str] | None:
    path, ours = request.path, _paths(get_resolver(get_urlconf()), get_script_prefix())
    if path.startswith(ours.documents) or path == ours.keys:
        return cors.ANY_ORIGIN
    if path in ours.pages:
        # To nobody, whatever the project says for its own: who reads the consent page can press Allow.
        return frozenset()
    issuer = issuer_of(request)
    is_for_clients = path in ours.client_endpoints or path.startswith(ours.registrations)
    if is_for_clients or path in {resource.path for resource in app_settings.resources(issuer)}:
        return app_settings.CORS_ORIGINS | {origin_of(issuer)}
    return None


@lru_cache(maxsize=16)
def _paths(resolver: URLResolver, script_prefix: str) -> _Paths:
    """What `reverse` says, which takes a while and is asked at each request, of the URLs and the prefix of now."""

    def path_of(view: str) -> str:
        return reverse(f"mcp_oidc:{view}")

    mount = path_of("authorize").removesuffix("/authorize")
    return _Paths(
        documents=tuple(f"{prefix}/.well-known/{name}" for prefix in {"", mount} for name in _DOCUMENTS),
        keys=path_of("jwks"),
        pages=frozenset(map(path_of, _PAGES)),
        client_endpoints=frozenset(map(path_of, _CLIENT_ENDPOINTS)),
        registrations=path_of("register") + "/",
    )
