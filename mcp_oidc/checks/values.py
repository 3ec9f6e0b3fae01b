"""Is it set right: every key of MCP_OIDC, each with an ID of its own."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from mcp_oidc.checks.contents import faults
from mcp_oidc.conf import app_settings
from mcp_oidc.protocol.mcp_requests import HTTP_METHODS, MCP_METHODS
from mcp_oidc.protocol.scopes import OPENID_SCOPES

# Key to its ID, and a value that would be right. An ID stays with its key for good: projects silence by it.
KEYS: Mapping[str, tuple[str, str]] = {
    "ISSUER": ("E101", '"https://mcp.example.com"'),
    "UPSTREAM": ("E102", '{"ISSUER": "https://login.example.com", "CLIENT_ID": "…", "CLIENT_SECRET": "…"}'),
    "RESOURCES": ("E103", '{"/mcp": {"NAME": "My tools"}}'),
    "SCOPES": ("E104", '{"mcp": "Use this MCP server as you"}'),
    "JWKS": ("E105", 'os.environ["JWKS"]'),
    "ACCESS_TOKEN_LIFETIME": ("E106", "3600"),
    "REFRESH_TOKEN_LIFETIME": ("E107", "30 * 24 * 60 * 60"),
    "AUTHORIZATION_CODE_LIFETIME": ("E108", "60"),
    "REFRESH_TOKEN_GRACE": ("E109", "60"),
    "REFRESH_TOKEN_RETRY": ("E110", "24 * 60 * 60"),
    "REFRESH_TOKEN_REPLAY": ("E111", '"revoke"'),
    "CONNECTION_MAX_AGE": ("E112", "90 * 24 * 60 * 60"),
    "CONSENT": ("E113", '"remember"'),
    "REGISTRATION": ("E114", '"open"'),
    "REDIRECT_SCHEMES": ("E115", '["cursor", "vscode", "windsurf", "my-app"]'),
    "CORS_ORIGINS": ("E116", '["https://app.example.com"]'),
    "ENCRYPTION_KEYS": ("E117", '[os.environ["ENCRYPTION_KEY"]]'),
    "ADAPTER": ("E118", '"my_project.adapter.MyAdapter"'),
    "REGISTRATIONS_PER_ADDRESS": ("E120", "1000"),
    "REGISTRATIONS_PER_HOUR": ("E121", "10_000"),
    "CLIENT_UNUSED_LIFETIME": ("E122", "24 * 60 * 60"),
    "CLIENT_LIFETIME": ("E123", "90 * 24 * 60 * 60"),
    "CONSENT_REMEMBER_LOCAL": ("E124", "False"),
    "VERIFICATION_CACHE": ("E125", "5"),
    "IMPLIED_SCOPES": ("E126", '{"notes:admin": ["notes:write"], "notes:write": ["notes:read"]}'),
    "EVENT_LIFETIME": ("E127", "400 * 24 * 60 * 60"),
    "AUDIT_REFRESHES": ("E128", "False"),
    "METRICS_TOKEN": ("E129", 'os.environ["METRICS_TOKEN"]'),
}
UPSTREAM_KEYS = (
    "ISSUER",
    "CLIENT_ID",
    "CLIENT_SECRET",
    "SCOPES",
    "AUTH_PARAMS",
    "CLIENT_CLASS",
    "NAME",
    "METADATA",
    "CLIENT_AUTH",
    "CLIENT_KEY",
    "PROXY",
    "CA_BUNDLE",
    "TIMEOUT",
    "TENANTS",
    "LINK_BY_EMAIL",
    "UPDATE_USERS",
    "REVALIDATE_AFTER",
    "REVALIDATE_STRICT",
    "LOGOUT_SPARES_CONNECTIONS",
)
RESOURCE_KEYS = ("NAME", "SCOPES", "TOOL_SCOPES", "METHOD_SCOPES", "DOCUMENTATION")


@checks.register("mcp_oidc")
def check_values(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Each value can be read, and is of use."""
    if not isinstance(_written(), Mapping):
        return [
            checks.Error(
                "MCP_OIDC is not a dict.", hint='MCP_OIDC = {"ISSUER": "https://mcp.example.com"}', id="mcp_oidc.E100"
            )
        ]
    return [_error(key, fault) for key in KEYS for fault in faults(key)]


@checks.register("mcp_oidc")
def check_unknown_keys(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """A mistyped key is an error: what it should have forbidden would be allowed."""
    written = _written()
    if not isinstance(written, Mapping):
        return []
    places = [("MCP_OIDC", written, tuple(KEYS)), ("MCP_OIDC['UPSTREAM']", written.get("UPSTREAM"), UPSTREAM_KEYS)]
    resources = written.get("RESOURCES")
    if isinstance(resources, Mapping):
        places += [(f"MCP_OIDC['RESOURCES'][{name!r}]", value, RESOURCE_KEYS) for name, value in resources.items()]
    return [message for place, value, known in places for message in _unknown(place, value, known)]


@checks.register("mcp_oidc")
def check_described_scopes(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """The consent page has a sentence for each scope that a resource asks for."""
    try:
        resources = app_settings.resources("https://check.invalid")
        described = {*OPENID_SCOPES, *app_settings.SCOPES}
    except ImproperlyConfigured:
        # Told by the check of that value.
        return []
    asked = [scope for resource in resources for scope in resource.every_scope]
    return [
        checks.Warning(
            f"The scope {scope!r} is asked for by a resource, but MCP_OIDC['SCOPES'] does not describe it.",
            hint=f'Add "{scope}": "What it allows, for users to read" to MCP_OIDC["SCOPES"].',
            id="mcp_oidc.W201",
        )
        for scope in dict.fromkeys(asked)
        if scope not in described
    ]


@checks.register("mcp_oidc")
def check_known_methods(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """METHOD_SCOPES names methods that clients use: with a mistyped one, what it should have forbidden is allowed."""
    try:
        resources = app_settings.resources("https://check.invalid")
    except ImproperlyConfigured:
        return []
    asked = [method for resource in resources for method in resource.method_scopes]
    return [
        checks.Warning(
            f"METHOD_SCOPES names {method!r}, which is a method neither of MCP nor of HTTP.",
            hint=_nearest(method, MCP_METHODS) or "If it is one of your own, silence this check.",
            id="mcp_oidc.W203",
        )
        for method in dict.fromkeys(asked)
        # One of HTTP in small letters is an error of its own.
        if method not in MCP_METHODS and method.upper() not in HTTP_METHODS
    ]


def _written() -> Any:
    return getattr(settings, "MCP_OIDC", {})


def _error(key: str, fault: str) -> checks.CheckMessage:
    number, example = KEYS[key]
    return checks.Error(fault, hint=f'Write "{key}": {example} in MCP_OIDC.', id=f"mcp_oidc.{number}")


def _unknown(place: str, value: object, known: Collection[str]) -> Iterator[checks.CheckMessage]:
    if not isinstance(value, Mapping):
        return
    for key in value:
        if key in known:
            continue
        hint = _nearest(str(key).upper(), known) or f"It knows {', '.join(known)}."
        yield checks.Error(f"{place} has no key {key!r}.", hint=hint, id="mcp_oidc.E119")


def _nearest(word: str, known: Collection[str]) -> str:
    nearest = difflib.get_close_matches(word, known, n=1)
    return f'Did you mean "{nearest[0]}"?' if nearest else ""
