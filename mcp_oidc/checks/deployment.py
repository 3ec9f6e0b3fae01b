"""Is it ready for production: for `manage.py check --deploy` only. Cookies and HSTS are checked by Django itself."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from mcp_oidc.conf import app_settings
from mcp_oidc.protocol.uris import is_loopback

# Seconds.
MAX_VERIFICATION_CACHE = 60
_LOCAL_CACHE = "django.core.cache.backends.locmem.LocMemCache"


@checks.register("mcp_oidc", deploy=True)
def check_https(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Codes, tokens and cookies travel to the issuer's address (RFC 9700 2.6)."""
    issuer = _read("ISSUER")
    if issuer is None or issuer.startswith("https://") or is_loopback(issuer):
        return []
    hint = 'Write "ISSUER": "https://…" in MCP_OIDC. Behind a proxy that ends TLS, it is the address that clients see.'
    return [checks.Warning(f"MCP_OIDC['ISSUER'] is {issuer}, which is not https.", hint=hint, id="mcp_oidc.W301")]


@checks.register("mcp_oidc", deploy=True)
def check_consent(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Without consent, any client that registers gets in with whoever opens its link (MCP: confused deputy)."""
    if _read("CONSENT") != "never":
        return []
    message = "MCP_OIDC['CONSENT'] is 'never': any client gets tokens of whoever follows its link while logged in."
    hint = 'Write "CONSENT": "remember" in MCP_OIDC, unless nobody but you reaches this server.'
    return [checks.Warning(message, hint=hint, id="mcp_oidc.W302")]


@checks.register("mcp_oidc", deploy=True)
def check_cache(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """What one process counts or remembers, the others do not know of."""
    if settings.CACHES.get("default", {}).get("BACKEND") != _LOCAL_CACHE:
        return []
    hint = (
        'CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": '
        '"redis://127.0.0.1:6379"}}, unless there is one process only.'
    )
    return [checks.Warning("The default cache is one for each process.", hint=hint, id="mcp_oidc.W303")]


@checks.register("mcp_oidc", deploy=True)
def check_verification_cache(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """A process does not hear at once of what another one revoked."""
    seconds = _read("VERIFICATION_CACHE")
    if seconds is None or seconds <= MAX_VERIFICATION_CACHE:
        return []
    message = (
        f"MCP_OIDC['VERIFICATION_CACHE'] is {seconds}: what one process revokes, others admit for so many seconds."
    )
    hint = 'Write "VERIFICATION_CACHE": 5 in MCP_OIDC: it saves nearly as many queries.'
    return [checks.Warning(message, hint=hint, id="mcp_oidc.W304")]


def _read(key: str) -> Any:
    try:
        return getattr(app_settings, key)
    except ImproperlyConfigured:
        # Told by the check of that value.
        return None
