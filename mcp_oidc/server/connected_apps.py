"""The page on which users see the apps that they connected, and disconnect them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from mcp_oidc.conf import app_settings, issuer_of
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.connected_apps import ConnectedApp
from mcp_oidc.core.connected_apps import connected_apps as apps_of
from mcp_oidc.core.revocation import disconnect, revoke_user
from mcp_oidc.pages import render_page
from mcp_oidc.server.wording import Destination, appearance_of, destination_of, name_of, sentences, user_name
from mcp_oidc.upstream.login import redirect_to_login
from mcp_oidc.upstream.session import Login, remembered_login
from mcp_oidc.upstream.views import for_people

_NOTICE = "mcp_oidc_disconnected"


@for_people
@require_http_methods(["GET", "HEAD", "POST"])
def connected_apps(request: HttpRequest) -> HttpResponseBase:
    """`/oauth/connections`: every app of whoever is logged in, with a button each."""
    # Not as strict as for a client: whoever only takes back what they gave needs no tokens of the IdP.
    login = remembered_login(request)
    if login is None:
        return redirect_to_login(request, request.path)
    # The person who presses must be the one who saw the page, and not who logged in meanwhile in another tab.
    if request.method == "POST" and request.POST.get("identity") == str(login.identity.subject):
        return _disconnect(request, login)
    return _render(request, login, notice=request.session.pop(_NOTICE, ""))


def _disconnect(request: HttpRequest, login: Login) -> HttpResponse:
    if "everything" in request.POST:
        revoke_user(login.user, "user_request", caller=Caller.of(request))
        return _done(request, _("All apps were disconnected."))
    # Looked for among their own: another's, or one that has gone meanwhile, is not there.
    wanted = request.POST.get("app")
    app = next((app for app in apps_of(login.user) if app.client.client_id == wanted), None)
    if app is None:
        return _render(request, login, notice=_("That app is not connected any more."), status=404)
    disconnect(login.user, app.client, caller=Caller.of(request))
    return _done(request, _("Disconnected: %(name)s") % {"name": name_of(app.client)})


def _done(request: HttpRequest, notice: str) -> HttpResponse:
    # Told once, by the page that follows, so that loading that again repeats nothing.
    request.session[_NOTICE] = notice
    return HttpResponseRedirect(request.path)


def _render(request: HttpRequest, login: Login, *, notice: str, status: int = 200) -> HttpResponse:
    names = {resource.identifier: resource.name for resource in app_settings.resources(issuer_of(request))}
    context = {
        "title": _("Your connected apps"),
        "notice": notice,
        "user_name": user_name(login),
        "identity": str(login.identity.subject),
        "apps": [_described(app, names) for app in apps_of(login.user)],
    }
    return render_page(request, "mcp_oidc/connections.html", context, status=status)


def _described(app: ConnectedApp, resource_names: dict[str, str]) -> dict[str, Any]:
    appearance = appearance_of(app.client)
    return {
        "key": app.client.client_id,
        "name": appearance.name,
        "host": appearance.host,
        "is_trusted": appearance.is_trusted,
        "destinations": _destinations(app),
        "resources": [
            {
                "name": resource_names.get(resource, ""),
                "identifier": resource,
                "permissions": sentences(scopes),
            }
            for resource, scopes in app.scopes.items()
        ],
        "approved_at": app.approved_at,
        "last_used_at": app.last_used_at,
    }


def _destinations(app: ConnectedApp) -> list[Destination]:
    found = [destination_of(uri) for uri in app.redirect_uris]
    # To a person this computer is one place, by whatever name and port.
    return list({"" if each.is_loopback else each.place: each for each in found}.values())
