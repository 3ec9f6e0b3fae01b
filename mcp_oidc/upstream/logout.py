"""Logout: the session here ends, and so does the one at the identity provider if it takes part."""

from __future__ import annotations

import logging
from urllib.parse import urljoin

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.utils.translation import gettext as _
from mozilla_django_oidc.views import OIDCLogoutView

from mcp_oidc.conf import issuer_of
from mcp_oidc.core.upstream_tokens import read_tokens
from mcp_oidc.errors import UpstreamError, UpstreamLoginRequired
from mcp_oidc.pages import render_page
from mcp_oidc.protocol.uris import origin_of
from mcp_oidc.upstream.provider import get_provider
from mcp_oidc.upstream.session import remembered_login
from mcp_oidc.upstream.views import for_people

logger = logging.getLogger("mcp_oidc.upstream")

# Servers in the field take addresses of 8 KiB; a longer hint is left out, and the provider asks the person instead.
_MAX_HINT_LENGTH = 6000


class LogoutView(OIDCLogoutView):  # type: ignore[misc]  # mozilla-django-oidc is untyped
    """`/oauth/logout` (OpenID Connect RP-Initiated Logout 1.0). What MCP clients were allowed goes on, unless the
    provider answers with a back-channel logout.
    """

    def get(self, request: HttpRequest) -> HttpResponse:
        """Ask first: a link or an image must log nobody out. The original answers 405."""
        is_logged_in = request.user.is_authenticated
        title = _("Log out?") if is_logged_in else _("You are logged out")
        context = {"title": title, "is_logged_in": is_logged_in, "has_provider": get_provider() is not None}
        return render_page(request, "mcp_oidc/logout.html", context)

    @property
    def redirect_url(self) -> str:
        """Where the browser goes; it is asked before the session ends. The original knows no provider's logout."""
        landing = resolve_url(settings.LOGOUT_REDIRECT_URL or "mcp_oidc:logout")
        return _provider_logout_url(self.request, landing) or landing


logout = for_people(LogoutView.as_view())


def _provider_logout_url(request: HttpRequest, landing: str) -> str | None:
    provider, login = get_provider(), remembered_login(request)
    if provider is None or login is None:
        return None
    # As it is registered there: by the public name of this server, whatever the request came by.
    redirect_uri = urljoin(origin_of(issuer_of(request)), landing)
    try:
        return provider.logout_url(_id_token(login.identity.pk), redirect_uri=redirect_uri)
    except UpstreamError as error:
        logger.warning("logged out here only: %s", error)
        return None


def _id_token(identity_id: int) -> str | None:
    try:
        token = read_tokens(identity_id).tokens.id_token
    except UpstreamLoginRequired:
        return None
    return token if token is not None and len(token) <= _MAX_HINT_LENGTH else None
