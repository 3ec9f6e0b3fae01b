"""Is it installed: the apps, the client model, the middleware, the backend, the URLs and a way to log in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.urls import NoReverseMatch, Resolver404, resolve, reverse
from django.utils.module_loading import import_string

from mcp_oidc.conf import app_settings
from mcp_oidc.core.clients import is_client_model

CORS = "mcp_oidc.server.cors.CorsMiddleware"
COMMON = "django.middleware.common.CommonMiddleware"
BACKEND = "mcp_oidc.upstream.backend.UpstreamBackend"

_APPS = {"django.contrib.auth": "E003", "django.contrib.contenttypes": "E004", "django.contrib.sessions": "E005"}
_MIDDLEWARE = {
    "django.contrib.sessions.middleware.SessionMiddleware": "E006",
    "django.contrib.auth.middleware.AuthenticationMiddleware": "E007",
}


@checks.register("mcp_oidc")
def check_client_model(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """The swapped application model is what all tables refer to, so it has to be there from the first migration."""
    name = getattr(settings, "OAUTH2_PROVIDER_APPLICATION_MODEL", None)
    hint = 'Add OAUTH2_PROVIDER_APPLICATION_MODEL = "mcp_oidc.Client", before the first migrate.'
    if name is None:
        return [checks.Error("OAUTH2_PROVIDER_APPLICATION_MODEL is not set.", hint=hint, id="mcp_oidc.E001")]
    try:
        model = apps.get_model(name)
    except (LookupError, ValueError) as error:
        message = f"OAUTH2_PROVIDER_APPLICATION_MODEL is {name!r}, which is no model ({error})."
        return [checks.Error(message, hint=hint, id="mcp_oidc.E002")]
    if is_client_model(model):
        return []
    message = f"OAUTH2_PROVIDER_APPLICATION_MODEL is {name!r}, which does not extend mcp_oidc.models.AbstractClient."
    return [checks.Error(message, hint=hint, id="mcp_oidc.E002")]


@checks.register("mcp_oidc")
def check_apps(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Users, sessions and their middleware: the browser's side of a login needs them."""
    missing_apps = [
        checks.Error(f"{name} is not installed.", hint=f'Add "{name}" to INSTALLED_APPS.', id=f"mcp_oidc.{number}")
        for name, number in _APPS.items()
        if not apps.is_installed(name)
    ]
    missing_middleware = [
        checks.Error(f"{path} is not installed.", hint=f'Add "{path}" to MIDDLEWARE.', id=f"mcp_oidc.{number}")
        for path, number in _MIDDLEWARE.items()
        if _position(path, settings.MIDDLEWARE) is None
    ]
    return [*missing_apps, *missing_middleware]


@checks.register("mcp_oidc")
def check_cors(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Clients in browsers cannot call this server without its CORS middleware."""
    position, common = _position(CORS, settings.MIDDLEWARE), _position(COMMON, settings.MIDDLEWARE)
    if position is None:
        message = "The CORS middleware is not installed, so clients that run in browsers cannot connect."
        return [checks.Error(message, hint=f'Put "{CORS}" first in MIDDLEWARE.', id="mcp_oidc.E008")]
    if common is not None and position > common:
        # CommonMiddleware may answer by itself, and that answer would go out without the headers.
        message = "The CORS middleware stands below CommonMiddleware."
        return [checks.Error(message, hint=f'Move "{CORS}" to the top of MIDDLEWARE.', id="mcp_oidc.E009")]
    return []


@checks.register("mcp_oidc")
def check_urls(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """The endpoints are where the metadata says."""
    try:
        reverse("mcp_oidc:authorize")
    except NoReverseMatch:
        hint = 'Add path("", include("mcp_oidc.urls")) to urlpatterns.'
        return [checks.Error("The URLs of mcp_oidc are not included.", hint=hint, id="mcp_oidc.E010")]
    return []


@checks.register("mcp_oidc")
def check_login(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """There is a way to log in: the IdP, or the project's own page."""
    try:
        upstream = app_settings.UPSTREAM
    except ImproperlyConfigured:
        # Told by the check of that value.
        return []
    if upstream is not None:
        return _check_backend()
    if _leads_to_a_login(str(settings.LOGIN_URL)):
        return []
    message = f"Users cannot log in: MCP_OIDC has no UPSTREAM, and LOGIN_URL ({settings.LOGIN_URL!r}) leads nowhere."
    hint = (
        'Add "UPSTREAM": {"ISSUER": "https://login.example.com", "CLIENT_ID": "…", "CLIENT_SECRET": "…"} to MCP_OIDC, '
        'or a login page: path("accounts/", include("django.contrib.auth.urls")).'
    )
    # No more than a warning: a web server in front may serve the login page itself.
    return [checks.Warning(message, hint=hint, id="mcp_oidc.W012")]


def _check_backend() -> list[checks.CheckMessage]:
    if _position(BACKEND, settings.AUTHENTICATION_BACKENDS) is not None:
        return []
    hint = f'AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", "{BACKEND}"]'
    message = "MCP_OIDC has an UPSTREAM, but its authentication backend is not installed."
    return [checks.Error(message, hint=hint, id="mcp_oidc.E011")]


def _position(wanted: str, paths: Sequence[str]) -> int | None:
    """Where `wanted`, or a subclass of it, stands among the dotted paths."""
    return next((index for index, path in enumerate(paths) if path == wanted or _extends(path, wanted)), None)


def _extends(path: str, wanted: str) -> bool:
    try:
        found, base = import_string(path), import_string(wanted)
    except ImportError:
        # Django says so itself.
        return False
    return isinstance(found, type) and issubclass(found, base)


def _leads_to_a_login(login_url: str) -> bool:
    if "://" in login_url:
        return True
    try:
        path = login_url.partition("?")[0] if "/" in login_url else reverse(login_url)
        # Ours sends people to LOGIN_URL where there is no UPSTREAM.
        return resolve(path).view_name != "mcp_oidc:login"
    except (NoReverseMatch, Resolver404):
        return False
