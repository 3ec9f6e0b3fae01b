"""Login at the identity provider: where a browser is sent, and what is remembered until it comes back."""

from __future__ import annotations

import logging
import re
import secrets
from urllib.parse import urlencode, urlsplit

from django.conf import global_settings, settings
from django.contrib.auth.views import redirect_to_login as redirect_to_login_url
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from django.views.decorators.http import require_GET

from mcp_oidc.core.identities import LOCAL
from mcp_oidc.core.logins import PendingLogin, begin_login, take_login
from mcp_oidc.errors import InvalidRequest, ServerError, UpstreamError
from mcp_oidc.pages import render_error, ui_locales_of
from mcp_oidc.protocol.pkce import challenge_for, new_verifier
from mcp_oidc.upstream.browser_binding import (
    bind_to_browser,
    browser_secret,
    redirect_uri_of,
    resume_uri_of,
    unbind,
)
from mcp_oidc.upstream.failures import is_another_account_expected, oauth_error_for
from mcp_oidc.upstream.provider import Provider, get_provider
from mcp_oidc.upstream.views import for_people

logger = logging.getLogger("mcp_oidc.upstream")

# Django follows no longer redirect than 16,384 characters.
_MAX_NEXT_LENGTH = 16_000
# Nor does its login view lead to more than this: it drops a longer `next`, and says nothing.
_MAX_NEXT_LENGTH_OF_DJANGO = 2048


def redirect_to_login(
    request: HttpRequest, next_url: str, *, prompt: str = "", max_age: int | None = None
) -> HttpResponseRedirect:
    """Send the browser to log in, and then to `next_url`, a path of this server of any length up to 16,000 characters.

    It goes to the identity provider, or without an UPSTREAM to the project's LOGIN_URL. `max_age` is in seconds.
    Raises `TemporarilyUnavailable` or `ServerError` while the provider's metadata cannot be had, and `InvalidRequest`
    for a longer `next_url`.
    """
    if len(next_url) > _MAX_NEXT_LENGTH:
        raise InvalidRequest(gettext_noop("The request is too long to be taken up again after a login."))
    provider = get_provider()
    if provider is None:
        return _redirect_to_project(request, next_url)
    pending = PendingLogin(
        provider=provider.upstream.name,
        nonce=secrets.token_urlsafe(32),
        code_verifier=new_verifier(),
        next_url=next_url,
        max_age=max_age,
    )
    if is_another_account_expected(request):
        # The provider remembers whom it had: it would send the same account again, without asking.
        prompt = prompt or "login"
    return _redirect_to_provider(request, provider, pending, prompt)


@for_people
@require_GET
def login(request: HttpRequest) -> HttpResponse:
    """`/oauth/login?next=`: to the login, then to a path of this server; `?resume=`: back from the project's own."""
    if "resume" in request.GET:
        return _resume(request, request.GET["resume"])
    return redirect_to_login(request, safe_next(request, default=_default_next()))


def safe_next(request: HttpRequest, *, default: str) -> str:
    """The path of this server that `next` names, else `default`."""
    wanted = request.GET.get("next", "")
    # Only what comes before the query decides where it leads, and Django's check refuses whatever is long.
    where = re.split(r"[?#]", wanted, maxsplit=1)[0]
    is_ours = url_has_allowed_host_and_scheme(where, {request.get_host()}, require_https=request.is_secure())
    return wanted if is_ours and len(wanted) <= _MAX_NEXT_LENGTH else default


def offer_to_start_again(request: HttpRequest) -> HttpResponse:
    """A page for a login that cannot be finished here."""
    message = _("This login was already used, took too long, or began in another browser.")
    advice = _("Go back to the app that you came from and connect again.")
    return render_error(request, message, status=400, advice=advice, retry_url=reverse("mcp_oidc:login"))


def _redirect_to_project(request: HttpRequest, next_url: str) -> HttpResponseRedirect:
    if urlsplit(resolve_url(settings.LOGIN_URL)).path == reverse("mcp_oidc:login"):
        # It would lead here, for ever.
        logger.error("no login can begin: LOGIN_URL is that of mcp_oidc, and MCP_OIDC has no UPSTREAM")
        raise ServerError(gettext_noop("The server is not set up for logins."))
    if len(next_url) <= _MAX_NEXT_LENGTH_OF_DJANGO:
        return redirect_to_login_url(next_url)
    ticket = begin_login(PendingLogin(provider=LOCAL, nonce="", code_verifier="", next_url=next_url, max_age=None))
    response = redirect_to_login_url(f"{reverse('mcp_oidc:login')}?{urlencode({'resume': ticket.state})}")
    bind_to_browser(response, ticket, resume_uri_of(request))
    return response


def _resume(request: HttpRequest, state: str) -> HttpResponse:
    pending = take_login(state, browser_secret(request, state))
    if pending is None or pending.provider != LOCAL:
        return offer_to_start_again(request)
    # Nothing is believed of it: it is asked for anew, and checked as it was at first.
    response = HttpResponseRedirect(pending.next_url)
    unbind(response, state, resume_uri_of(request))
    return response


def _default_next() -> str:
    # Django's own default, /accounts/profile/, is a page that few projects have.
    wanted = settings.LOGIN_REDIRECT_URL
    return resolve_url(wanted if wanted != global_settings.LOGIN_REDIRECT_URL else "mcp_oidc:connections")


def _redirect_to_provider(
    request: HttpRequest, provider: Provider, pending: PendingLogin, prompt: str
) -> HttpResponseRedirect:
    redirect_uri = redirect_uri_of(request)
    try:
        # Nobody comes back from a provider that does not answer, so nothing is kept for it.
        provider.prepare()
        ticket = begin_login(pending)
        url = provider.authorization_url(
            redirect_uri=redirect_uri,
            state=ticket.state,
            nonce=pending.nonce,
            code_challenge=challenge_for(pending.code_verifier),
            prompt=prompt,
            max_age=pending.max_age,
            # Its pages, too, are in the language that the client asked for.
            ui_locales=ui_locales_of(request),
        )
    except UpstreamError as error:
        logger.warning("no login can begin: %s", error)
        raise oauth_error_for(error) from None
    response = HttpResponseRedirect(url, headers={"Cache-Control": "no-store"})
    bind_to_browser(response, ticket, redirect_uri)
    return response
