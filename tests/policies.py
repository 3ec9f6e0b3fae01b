"""A content security policy for every page of a site, as projects set it: what our own pages must get along with."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

SITE_POLICY = {"default-src": ["'self'"], "form-action": ["'self'"]}


def strict_policy(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware that sets the policy on what has none, as that of django-csp and of Django 6 does."""
    policy = "; ".join(f"{name} {' '.join(sources)}" for name, sources in SITE_POLICY.items())

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", policy)
        return response

    return middleware
