"""Django's admin behind the identity provider: `path("admin/login/", admin_login)`, before the admin's own URLs."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _

from mcp_oidc.errors import OAuthError, TemporarilyUnavailable
from mcp_oidc.pages import render_page
from mcp_oidc.upstream.failures import expect_another_account
from mcp_oidc.upstream.login import redirect_to_login, safe_next
from mcp_oidc.upstream.provider import get_provider
from mcp_oidc.upstream.views import for_people

# In the query: Django's own form, where the project keeps it.
_PASSWORD = "password"  # noqa: S105  # the name of a parameter


@for_people
def admin_login(request: HttpRequest, *, site: AdminSite = admin.site, passwords: bool = False) -> HttpResponseBase:
    """Log in at the identity provider, and then go to the page of the admin that was asked for.

    Whoever is logged in and may not use `site` gets a page and no redirect. `passwords` keeps Django's own form, at
    `?password`; without an UPSTREAM there is nothing else.
    """
    if get_provider() is None or (passwords and _PASSWORD in request.GET):
        response: HttpResponseBase = site.login(request)
        return response
    if request.method != "GET":
        return HttpResponseNotAllowed(["GET"])
    index = reverse("admin:index", current_app=site.name)
    if site.has_permission(request):
        # As Django does: back to where they came from could be the very page that does not let them in.
        return HttpResponseRedirect(index)
    next_url = safe_next(request, default=index)
    password_url = f"{request.path}?{urlencode({_PASSWORD: 1, 'next': next_url})}" if passwords else ""
    if request.user.is_authenticated:
        return _refuse(request, next_url, password_url)
    try:
        return redirect_to_login(request, next_url)
    except OAuthError as error:
        return _tell_failure(request, error, next_url, password_url)


def _refuse(request: HttpRequest, next_url: str, password_url: str) -> HttpResponseBase:
    expect_another_account(request)
    context = {
        "title": _("Not with this account"),
        "user_name": request.user.get_username(),
        "login_url": _login_url(next_url),
        "login_text": _("Log in with another account"),
        "password_url": password_url,
    }
    return render_page(request, "mcp_oidc/admin_login.html", context, status=403)


def _tell_failure(request: HttpRequest, error: OAuthError, next_url: str, password_url: str) -> HttpResponseBase:
    context = {
        "title": _("That did not work"),
        "message": _(error.description) or _("The login failed."),
        "login_url": _login_url(next_url),
        "login_text": _("Try again"),
        "password_url": password_url,
    }
    # 502, because the fault is not in the request, and not in this server either.
    status = error.status if isinstance(error, TemporarilyUnavailable) else 502
    response = render_page(request, "mcp_oidc/admin_login.html", context, status=status)
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    return response


def _login_url(next_url: str) -> str:
    return f"{reverse('mcp_oidc:login')}?{urlencode({'next': next_url})}"
