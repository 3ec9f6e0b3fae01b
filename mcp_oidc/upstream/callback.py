"""Back from the identity provider: the login ends here, well or not, for the browser that began it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from django.contrib import auth
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView

from mcp_oidc.core.audit import Caller, record
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.core.logins import PendingLogin, take_login
from mcp_oidc.errors import AccessDenied, OAuthError, ServerError, UpstreamError, UpstreamRefused
from mcp_oidc.upstream.backend import LoginCode, login_of
from mcp_oidc.upstream.browser_binding import browser_secret, redirect_uri_of, unbind
from mcp_oidc.upstream.failures import (
    expect_another_account,
    failure_page,
    oauth_error_for,
    remember_failure,
)
from mcp_oidc.upstream.login import offer_to_start_again
from mcp_oidc.upstream.provider import Provider, get_provider
from mcp_oidc.upstream.session import remember_login
from mcp_oidc.upstream.token_answers import printable_code
from mcp_oidc.upstream.views import for_people

logger = logging.getLogger("mcp_oidc.upstream")


@dataclass(frozen=True)
class ProviderAnswer:
    """What the provider had the browser bring back (RFC 6749 4.1.2, RFC 9207). Empty where it was left out."""

    state: str
    code: str = field(repr=False)
    error: str
    issuer: str
    # A parameter that was sent twice has no value, and makes the answer one that no provider gave.
    is_ambiguous: bool = False

    @classmethod
    def of(cls, request: HttpRequest) -> ProviderAnswer:
        """The answer in the query of `request`."""

        values = {name: request.GET.getlist(name) for name in ("state", "code", "error", "iss")}
        # RFC 6749 3.1: a parameter must not be sent more than once.
        state, code, error, issuer = (found[0] if len(found) == 1 else "" for found in values.values())
        is_ambiguous = any(len(found) > 1 for found in values.values())
        return cls(state=state, code=code, error=error, issuer=issuer, is_ambiguous=is_ambiguous)


class CallbackView(OIDCAuthenticationCallbackView):  # type: ignore[misc]  # mozilla-django-oidc is untyped
    """`/oauth/callback`. The original keeps states in the session, lets the last tab win, and logs out at an error."""

    next_url: str
    user: AbstractBaseUser

    def get(self, request: HttpRequest) -> HttpResponse:
        """Finish the login that this browser began; whatever goes wrong leaves the session as it was."""
        answer, provider = ProviderAnswer.of(request), get_provider()
        pending = take_login(answer.state, browser_secret(request, answer.state))
        if provider is None or pending is None or pending.provider != provider.upstream.name:
            return offer_to_start_again(request)
        try:
            self.user = _authenticate(request, provider, answer, pending)
        except OAuthError as error:
            response = _fail(request, pending, error)
        else:
            self.next_url = pending.next_url
            response = self.login_success()
        unbind(response, answer.state, redirect_uri_of(request))
        return response

    def login_success(self) -> HttpResponse:
        """Log the user in. The original spares whoever is already in, so that forms open in other tabs stay good."""
        key = self.request.session.session_key
        response: HttpResponse = super().login_success()
        if self.request.session.session_key == key:
            # Whatever the browser was before, the login has a session key that nobody else can have seen.
            self.request.session.cycle_key()
        found = login_of(self.user)
        remember_login(
            self.request, found.identity, authenticated_at=found.authenticated_at, idp_session=found.idp_session
        )
        return response

    @property
    def success_url(self) -> str:
        """Where the login was for. The original keeps one for each session and drops it if it is long."""
        return self.next_url


callback = for_people(CallbackView.as_view())


def _authenticate(
    request: HttpRequest, provider: Provider, answer: ProviderAnswer, pending: PendingLogin
) -> AbstractBaseUser:
    try:
        _require_code(provider, answer)
        login_code = LoginCode(
            provider=provider,
            code=answer.code,
            redirect_uri=redirect_uri_of(request),
            nonce=pending.nonce,
            code_verifier=pending.code_verifier,
            max_age=pending.max_age,
        )
        user = auth.authenticate(request, login_code=login_code)
    except UpstreamError as error:
        logger.warning("a login at the identity provider failed: %s", error)
        record(Kind.LOGIN, Outcome.REFUSED, reason=str(error), caller=Caller.of(request))
        raise oauth_error_for(error) from None
    if user is None:
        raise ServerError("The server is not set up for logins.", log="UpstreamBackend is no AUTHENTICATION_BACKEND")
    return user


def _require_code(provider: Provider, answer: ProviderAnswer) -> None:
    if answer.is_ambiguous:
        raise UpstreamError("the answer failed the check of its form: a parameter was sent twice")
    # RFC 9207 2.4: before anything else of the answer is used, an error included.
    if not provider.is_issuer(answer.issuer) and (answer.issuer or provider.metadata.has_iss_parameter):
        raise UpstreamError("the answer failed the check of iss: missing, or another issuer's")
    if answer.error:
        raise UpstreamRefused(printable_code(answer.error))
    if not answer.code:
        raise UpstreamError("the answer holds neither a code nor an error")


def _fail(request: HttpRequest, pending: PendingLogin, error: OAuthError) -> HttpResponse:
    if error.log:
        logger.warning("%s: %s", error.code, error.log)
    if isinstance(error, AccessDenied):
        expect_another_account(request)
    if urlsplit(pending.next_url).path != reverse("mcp_oidc:authorize"):
        return failure_page(request, error, next_url=pending.next_url)
    # The authorization endpoint checks the request once more and tells the client.
    remember_failure(request, pending.next_url, error)
    return HttpResponseRedirect(pending.next_url)
