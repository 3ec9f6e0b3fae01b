"""The cookie that binds a login to the browser that began it."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse

from mcp_oidc.conf import issuer_of
from mcp_oidc.core.logins import LOGIN_LIFETIME, LoginTicket


def redirect_uri_of(request: HttpRequest) -> str:
    """Where the provider sends browsers back to: the URL to register there."""
    return issuer_of(request) + "/oauth/callback"


def resume_uri_of(request: HttpRequest) -> str:
    """Where the project's own login sends browsers back to, if what they asked for is too long for it."""
    return issuer_of(request) + "/oauth/login"


def bind_to_browser(response: HttpResponse, ticket: LoginTicket, return_uri: str) -> None:
    """Give the browser the secret that `ticket` will be asked for with. No script and no other path sees it."""
    parts = urlsplit(return_uri)
    response.set_cookie(
        _cookie_name(ticket.state),
        ticket.browser_secret,
        max_age=LOGIN_LIFETIME,
        path=parts.path,
        secure=parts.scheme == "https",
        httponly=True,
        samesite="Lax",
    )


def browser_secret(request: HttpRequest, state: str) -> str:
    """The secret that this browser has for the login of `state`, or an empty string."""
    return request.COOKIES.get(_cookie_name(state), "")


def unbind(response: HttpResponse, state: str, return_uri: str) -> None:
    """Take the secret back: the login has ended."""
    response.delete_cookie(_cookie_name(state), path=urlsplit(return_uri).path, samesite="Lax")


def _cookie_name(state: str) -> str:
    # One for each login, so that two tabs do not overwrite each other's.
    return f"mcp_oidc_login_{hashlib.sha256(state.encode()).hexdigest()[:16]}"
