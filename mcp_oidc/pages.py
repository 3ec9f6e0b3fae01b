"""Pages that a person sees: every one of them with the headers that keep it from being framed, cached or run in."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import get_language, get_supported_language_variant, override, pgettext
from django.utils.translation import gettext as _

from mcp_oidc.conf import issuer_of
from mcp_oidc.protocol.authorization_requests import parse_ui_locales


def render_page(
    request: HttpRequest, template: str, context: Mapping[str, Any] | None = None, *, status: int = 200
) -> HttpResponse:
    """Render a template of ours (or the project's own in its place) with what all of them know: the host of this
    server, the language of the page, and `csp_nonce` for its one style element.
    """
    nonce, language = secrets.token_urlsafe(16), page_language()
    common = {
        "csp_nonce": nonce,
        "site_host": urlsplit(issuer_of(request)).netloc,
        "page_language": language,
        "page_direction": "rtl" if _base(language) in settings.LANGUAGES_BIDI else "ltr",
    }
    response = HttpResponse(render_to_string(template, {**(context or {}), **common}, request=request), status=status)
    # No form-action: Chromium applies it to the redirect that follows a form, and ours goes to the client. Middleware
    # leaves a policy alone that a view has set.
    response["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    response["X-Frame-Options"] = "DENY"
    response["Cache-Control"] = "no-store"
    # The address of an authorization request holds its state; none of it is anybody else's business. Not no-referrer,
    # with which browsers send "Origin: null" and Django's CSRF check refuses the form.
    response["Referrer-Policy"] = "same-origin"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def render_error(
    request: HttpRequest,
    message: str,
    *,
    status: int,
    advice: str = "",
    detail: str = "",
    recipes: Sequence[object] = (),
    retry_url: str = "",
) -> HttpResponse:
    """A page that says what happened and what to do. `retry_url` is a path of this server, never a client's URI.

    `detail` is English, for whoever develops the client. `recipes` say what to do in one app each: they have `app` and
    `steps`.
    """
    context = {
        "title": _("That did not work"),
        "message": message,
        "advice": advice,
        "detail": detail,
        "recipes": recipes,
        "retry_url": retry_url,
    }
    return render_page(request, "mcp_oidc/error.html", context, status=status)


def page_language() -> str:
    """The language that the texts of our pages are in. It is not the active one where that has no translation of them:
    then they are in that of LANGUAGE_CODE, or in English, and a screen reader has to pronounce them so.
    """
    return pgettext("code of the language that this catalogue translates to", "en")


def wanted_language(request: HttpRequest) -> override:
    """A block in the language that the client asked for (`ui_locales`, OpenID Connect Core 3.1.2.1), if the project has
    it in LANGUAGES and our pages are translated; else in the one that is active, as the project's middleware decided.
    """
    found = (_supported(tag) for tag in ui_locales_of(request))
    return override(next(filter(None, found), get_language()))


def ui_locales_of(request: HttpRequest) -> tuple[str, ...]:
    """The tags of the languages that the client asked for, the best first."""
    try:
        return parse_ui_locales(request.GET.get("ui_locales", ""))
    except SuspiciousOperation:
        # Too many parameters for Django. Whoever needs them says so.
        return ()


def _supported(tag: str) -> str | None:
    try:
        language = get_supported_language_variant(tag.lower())
    except LookupError:
        return None
    with override(language):
        return language if _base(page_language()) == _base(language) else None


def _base(language: str) -> str:
    return language.partition("-")[0]
