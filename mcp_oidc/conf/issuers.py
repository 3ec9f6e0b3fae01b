"""The issuer: the one string that names this server, in every document and token."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.urls import reverse

from mcp_oidc.conf.settings import app_settings


def configured_issuer() -> str:
    """The issuer, where no request is at hand to derive it from. Raises `ImproperlyConfigured` if it is not set."""
    issuer = app_settings.ISSUER
    if issuer is None:
        raise ImproperlyConfigured(
            'Set MCP_OIDC["ISSUER"] to the public URL of this server, such as https://mcp.example.com.'
        )
    return issuer


def issuer_of(request: HttpRequest) -> str:
    """The issuer of the server that got `request`.

    Only while DEBUG is it derived from the request, and then by Django's own rules for Host: a spoofed header must
    never decide what a document says. Raises `ImproperlyConfigured` in production without MCP_OIDC["ISSUER"].
    """
    if app_settings.ISSUER is not None or not settings.DEBUG:
        return configured_issuer()
    return request.build_absolute_uri(reverse("mcp_oidc:authorize")).removesuffix("/authorize")
