"""Pages that a person sees: every one of them with the headers that keep it from being framed, cached or run in."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _


def render_page(
    request: HttpRequest, template: str, context: Mapping[str, Any] | None = None, *, status: int = 200
) -> HttpResponse:
    """Render a template of ours (or the project's own in its place) with `csp_nonce` for its one style element."""
    nonce = secrets.token_urlsafe(16)
    response = HttpResponse(
        render_to_string(template, {**(context or {}), "csp_nonce": nonce}, request=request), status=status
    )
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
    recipes: Sequence[object] = (),
    retry_url: str = "",
) -> HttpResponse:
    """A page that says what happened and what to do. `retry_url` is a path of this server, never a client's URI.

    `recipes` say what to do in one app each: they have `app` and `steps`.
    """
    context = {
        "title": _("That did not work"),
        "message": message,
        "advice": advice,
        "recipes": recipes,
        "retry_url": retry_url,
    }
    return render_page(request, "mcp_oidc/error.html", context, status=status)
