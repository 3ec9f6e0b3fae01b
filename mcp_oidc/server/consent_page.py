"""The consent page: who asks, as whom, for what, and where the answer goes, in words that cannot be forged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from mcp_oidc.conf import Resource
from mcp_oidc.pages import render_page
from mcp_oidc.protocol.authorization_requests import AuthorizationRequest
from mcp_oidc.protocol.product_names import imitated_product
from mcp_oidc.protocol.uris import is_local
from mcp_oidc.server.wording import appearance_of, destination_of, sentences, user_name
from mcp_oidc.upstream.session import Login

if TYPE_CHECKING:
    from mcp_oidc.models import AbstractClient


@dataclass(frozen=True)
class Ask:
    """A request that may be put to a person: its client, where the answer goes, for which resource and scopes."""

    client: AbstractClient
    request: AuthorizationRequest
    resource: Resource
    scopes: tuple[str, ...]
    login: Login


def render_consent(request: HttpRequest, ask: Ask) -> HttpResponse:
    """The page with Allow and Deny. Its form goes to its own address, so nothing that was asked can be swapped."""
    context = {
        "title": _("Allow access?"),
        **_who_asks(ask.client, ask.request.redirect_uri),
        **_where_it_goes(ask.request.redirect_uri),
        "resource": ask.resource.identifier,
        "resource_name": ask.resource.name,
        "permissions": sentences(ask.scopes),
        "user_name": user_name(ask.login),
        "identity": str(ask.login.identity.subject),
    }
    return render_page(request, "mcp_oidc/consent.html", context)


def _who_asks(client: AbstractClient, redirect_uri: str) -> dict[str, Any]:
    appearance = appearance_of(client)
    parts = urlsplit(redirect_uri)
    is_web = parts.scheme in ("http", "https")
    # On loopback a name cannot be compared with anything, and a desktop app there is no cause for alarm.
    hosts = [host for host in (appearance.host, "" if is_local(redirect_uri) else parts.hostname) if host]
    imitated = imitated_product(client.name, hosts=hosts, scheme="" if is_web else parts.scheme)
    return {
        "client_name": appearance.name,
        "client_host": appearance.host,
        "is_trusted": appearance.is_trusted,
        "imitated_product": None if appearance.is_trusted else imitated,
    }


def _where_it_goes(redirect_uri: str) -> dict[str, Any]:
    destination = destination_of(redirect_uri)
    return {
        "destination": destination.place,
        "is_loopback": destination.is_loopback,
        "is_private_scheme": destination.is_private_scheme,
    }
