"""Logins that failed: what the client is told, what the person is shown, and how the one waits for the other."""

from __future__ import annotations

import hashlib
import json
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from mcp_oidc.errors import (
    AccessDenied,
    ForeignAccount,
    LoginRequired,
    OAuthError,
    ServerError,
    TemporarilyUnavailable,
    UpstreamError,
    UpstreamRefused,
    UpstreamUnavailable,
)
from mcp_oidc.pages import render_error

_KEY = "mcp_oidc_login_failures"
_ANOTHER_ACCOUNT = "mcp_oidc_another_account"
# Tabs that fail at the same time; the session must not grow with every failure that nobody comes back for.
_MAX_REMEMBERED = 5

_REFUSALS: dict[str, type[OAuthError]] = {
    "access_denied": AccessDenied,
    "temporarily_unavailable": TemporarilyUnavailable,
    # OpenID Connect Core 3.1.2.6: the provider would have to show a page, and was told not to.
    **dict.fromkeys(
        ("login_required", "interaction_required", "account_selection_required", "consent_required"), LoginRequired
    ),
}
_BY_CODE: dict[str, type[OAuthError]] = {
    error.code: error for error in (AccessDenied, LoginRequired, ServerError, TemporarilyUnavailable)
}


def oauth_error_for(error: UpstreamError) -> OAuthError:
    """What our own client is told of it."""
    if isinstance(error, UpstreamUnavailable):
        return TemporarilyUnavailable(gettext_noop("The identity provider does not answer."))
    if isinstance(error, UpstreamRefused):
        refusal = ServerError if error.is_about_us else _REFUSALS.get(error.code, ServerError)
        return refusal(gettext_noop("The identity provider refused the login."))
    if isinstance(error, ForeignAccount):
        return AccessDenied(gettext_noop("This account belongs to an organization that may not log in here."))
    return ServerError(gettext_noop("The answer of the identity provider could not be verified."))


def remember_failure(request: HttpRequest, next_url: str, error: OAuthError) -> None:
    """Keep `error` for the request of this very browser that `next_url` repeats."""
    failures = dict(list(request.session.get(_KEY, {}).items())[-(_MAX_REMEMBERED - 1) :])
    request.session[_KEY] = {**failures, _digest(next_url): [error.code, error.description]}


def take_login_failure(request: HttpRequest) -> OAuthError | None:
    """Why the login that this request asked for has failed, told once; None if it has not."""
    failures = request.session.get(_KEY, {})
    digest = _digest(request.get_full_path())
    if digest not in failures:
        return None
    code, description = failures[digest]
    request.session[_KEY] = {key: failure for key, failure in failures.items() if key != digest}
    return _BY_CODE.get(code, ServerError)(description)


def expect_another_account(request: HttpRequest) -> None:
    """Note that this browser's account will not do: its next login is to let the person choose another one."""
    request.session[_ANOTHER_ACCOUNT] = True


def is_another_account_expected(request: HttpRequest) -> bool:
    """Whether the last account of this browser would not do; told once."""
    return bool(request.session.pop(_ANOTHER_ACCOUNT, False))


def failure_page(request: HttpRequest, error: OAuthError, *, next_url: str = "") -> HttpResponse:
    """A page that says why nobody was logged in, with the way to try again."""
    message, advice, status = _wording(error)
    retry_url = reverse("mcp_oidc:login") + (f"?{urlencode({'next': next_url})}" if next_url else "")
    response = render_error(request, message, status=status, advice=advice, retry_url=retry_url)
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    return response


def _wording(error: OAuthError) -> tuple[str, str, int]:
    # In English it goes to clients as well (RFC 6749 5.2 allows ASCII alone). A project's own is in its own catalogue.
    message = _(error.description)
    if isinstance(error, AccessDenied):
        return message, _("You may not log in here with that account."), error.status
    if isinstance(error, TemporarilyUnavailable):
        return message, _("Try again in a moment."), error.status
    # 502, because the fault is not in the request, and not in this server either.
    advice = _("If it happens again, tell whoever runs this server: its log says why.")
    return message or _("The login failed."), advice, 502


def _digest(url: str) -> str:
    # Of what it says and not of how it is written: browsers escape a URL that they follow in their own way.
    parts = urlsplit(url)
    meaning = json.dumps([unquote(parts.path), parse_qsl(parts.query, keep_blank_values=True)])
    return hashlib.sha256(meaning.encode()).hexdigest()
