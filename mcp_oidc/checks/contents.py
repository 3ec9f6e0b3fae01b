"""What can be wrong with a value of MCP_OIDC: that it cannot be read at all, or that it would do harm or nothing."""

from __future__ import annotations

import importlib.util
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from mcp_oidc.adapter import Adapter
from mcp_oidc.conf import Upstream, app_settings
from mcp_oidc.core.keys import configured_keys
from mcp_oidc.errors import UpstreamError
from mcp_oidc.protocol.mcp_requests import HTTP_METHODS
from mcp_oidc.protocol.uris import DANGEROUS_SCHEMES, check_web_uri, origin_of
from mcp_oidc.upstream.client_key import parse_client_key
from mcp_oidc.upstream.discovery import metadata_by_hand
from mcp_oidc.upstream.provider import Provider

MIN_TOKEN_LENGTH = 32
# RFC 6750 2.1
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*")


def faults(key: str) -> Iterator[str]:
    """What is wrong with the value of `key`, in sentences. None of them repeats a secret."""
    try:
        value = getattr(app_settings, key)
    except ImproperlyConfigured as error:
        yield str(error)
        return
    yield from _EXAMINERS.get(key, _no_faults)(value)


def _no_faults(value: object) -> Iterator[str]:
    return iter(())


def _issuer(issuer: str | None) -> Iterator[str]:
    if issuer is None and not settings.DEBUG:
        yield "MCP_OIDC['ISSUER'] is not set. Only while DEBUG is it taken from the request."


def _upstream(upstream: Upstream | None) -> Iterator[str]:
    if upstream is None:
        return
    yield from _client_class(upstream)
    yield from _client_key(upstream)
    yield from _ca_bundle(upstream)


def _client_class(upstream: Upstream) -> Iterator[str]:
    try:
        client_class = import_string(upstream.client_class)
    except (ImportError, AttributeError, TypeError) as error:
        yield f"MCP_OIDC['UPSTREAM']['CLIENT_CLASS'] cannot be imported: {error}."
        return
    if upstream.metadata is None or not isinstance(client_class, type) or not issubclass(client_class, Provider):
        return
    try:
        # The class knows what the provider calls itself.
        metadata_by_hand(upstream.metadata, upstream.issuer, announced=client_class(upstream).announced_issuer)
    except UpstreamError as error:
        yield f"MCP_OIDC['UPSTREAM']['METADATA'] cannot be used: {error}."


def _client_key(upstream: Upstream) -> Iterator[str]:
    if upstream.client_key is None:
        return
    try:
        parse_client_key(upstream.client_key)
    except ValueError as error:
        yield f"MCP_OIDC['UPSTREAM']['CLIENT_KEY'] cannot be used: {error}"


def _ca_bundle(upstream: Upstream) -> Iterator[str]:
    if not upstream.ca_bundle:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=upstream.ca_bundle)
    except (OSError, ValueError) as error:
        yield f"MCP_OIDC['UPSTREAM']['CA_BUNDLE'] is {upstream.ca_bundle!r}, which cannot be read: {error}."


def _jwks(source: str | Mapping[str, Any] | None) -> Iterator[str]:
    if source is None:
        return
    try:
        configured_keys(source)
    except ImproperlyConfigured as error:
        yield str(error)


def _redirect_schemes(schemes: frozenset[str]) -> Iterator[str]:
    for scheme in sorted(schemes):
        if scheme in DANGEROUS_SCHEMES:
            yield f"MCP_OIDC['REDIRECT_SCHEMES'] holds {scheme!r}, which a browser would run or open by itself."
        elif scheme in ("http", "https"):
            yield f"MCP_OIDC['REDIRECT_SCHEMES'] holds {scheme!r}, which has rules of its own and is always there."
        elif not _SCHEME.fullmatch(scheme):
            yield f"MCP_OIDC['REDIRECT_SCHEMES'] holds {scheme!r}, which is no scheme: it is written as in 'cursor'."


def _cors_origins(origins: frozenset[str]) -> Iterator[str]:
    for origin in sorted(origins):
        if not _is_origin(origin):
            yield f"MCP_OIDC['CORS_ORIGINS'] holds {origin!r}, which no browser sends: scheme, host and port alone."


def _is_origin(text: str) -> bool:
    try:
        return origin_of(check_web_uri(text)) == text.lower()
    except ValueError:
        return False


def _resources(resources: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, options in resources.items():
        for method in options.get("METHOD_SCOPES", {}):
            if method not in HTTP_METHODS and method.upper() in HTTP_METHODS:
                yield f"MCP_OIDC['RESOURCES'][{name!r}]['METHOD_SCOPES'] holds {method!r}: HTTP has {method.upper()!r}."


def _implied_scopes(implied: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    try:
        resources = app_settings.resources("https://check.invalid")
        known = {*app_settings.SCOPES, *(scope for resource in resources for scope in resource.every_scope)}
    except ImproperlyConfigured:
        # Told by the check of that value.
        return
    named = [scope for wider, narrower in implied.items() for scope in (wider, *narrower)]
    for scope in dict.fromkeys(named):
        if scope not in known:
            yield f"MCP_OIDC['IMPLIED_SCOPES'] holds {scope!r}, which is not among MCP_OIDC['SCOPES']."


def _adapter(adapter: type[Any]) -> Iterator[str]:
    if not issubclass(adapter, Adapter):
        yield f"MCP_OIDC['ADAPTER'] is {adapter.__name__}, which does not extend mcp_oidc.adapter.Adapter."


def _metrics_token(token: str | None) -> Iterator[str]:
    if token is None:
        return
    name = "MCP_OIDC['METRICS_TOKEN']"
    if len(token) < MIN_TOKEN_LENGTH:
        yield f"{name} could be guessed: it has {len(token)} characters, and needs {MIN_TOKEN_LENGTH}."
    if not _TOKEN.fullmatch(token):
        yield f"{name} holds what no bearer token may: it is made of letters, digits and ._~+/- alone."
    if importlib.util.find_spec("prometheus_client") is None:
        yield f"{name} needs prometheus-client: pip install 'django-mcp-oidc[prometheus]'."


_EXAMINERS: Mapping[str, Callable[[Any], Iterator[str]]] = {
    "ISSUER": _issuer,
    "UPSTREAM": _upstream,
    "RESOURCES": _resources,
    "IMPLIED_SCOPES": _implied_scopes,
    "JWKS": _jwks,
    "REDIRECT_SCHEMES": _redirect_schemes,
    "CORS_ORIGINS": _cors_origins,
    "ADAPTER": _adapter,
    "METRICS_TOKEN": _metrics_token,
}
