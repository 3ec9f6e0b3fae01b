"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _


class McpOidcConfig(AppConfig):
    """Wires the app up: safe defaults for its neighbours, its checks, and what it hears of users."""

    name = "mcp_oidc"
    verbose_name = _("MCP authorization")
    default_auto_field = "django.db.models.BigAutoField"

    def import_models(self) -> None:
        """Refuses to go on without DOT, and puts the defaults in place before anything asks for one."""
        if not apps.is_installed("oauth2_provider"):
            # No system check gets as far: the models import DOT's.
            raise ImproperlyConfigured('mcp_oidc needs django-oauth-toolkit: add "oauth2_provider" to INSTALLED_APPS.')
        # Not at the top: DOT reads the settings. Not in ready(): the admin's, which comes first in most projects,
        # registers DOT's models with the classes that DOT's settings name by then.
        from mcp_oidc.server.provider_settings import install_defaults

        install_defaults()
        super().import_models()

    def ready(self) -> None:
        # Imported here, because both need models, and those can only be imported once the apps are loaded.
        from mcp_oidc import checks  # noqa: F401
        from mcp_oidc.core.users import watch_users
        from mcp_oidc.management.precedence import take_precedence
        from mcp_oidc.upstream.idp_revocation import watch_endings
        from mcp_oidc.upstream.session import note_local_login, note_logout

        take_precedence()
        watch_users()
        watch_endings()
        user_logged_in.connect(note_local_login, dispatch_uid="mcp_oidc.note_local_login")
        user_logged_out.connect(note_logout, dispatch_uid="mcp_oidc.note_logout")
