"""The authorization endpoint: who asks, whether they may, who is there, and what the person says.

An unknown client or redirect URI gets a page at once and is never redirected; every later error goes to the client,
with `iss` and `state` (RFC 6749 4.1.2.1, RFC 9207).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from oauth2_provider.http import OAuth2ResponseRedirect
from oauth2_provider.views.base import BaseAuthorizationView
from oauthlib.oauth2 import WebApplicationServer

from mcp_oidc.adapter import get_adapter
from mcp_oidc.conf import issuer_of
from mcp_oidc.core.approvals import Approval
from mcp_oidc.core.audit import Caller, record
from mcp_oidc.core.clients import find_redirect_uri
from mcp_oidc.core.consents import is_consent_needed, remember_consent
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.core.resources import find_resource, scopes_to_grant
from mcp_oidc.errors import (
    AccessDenied,
    ConsentRequired,
    InvalidRequest,
    LoginRequired,
    OAuthError,
    UnsupportedResponseType,
)
from mcp_oidc.pages import render_error
from mcp_oidc.protocol.authorization_requests import SENDER_PARAMS, AuthorizationRequest, parse_request, parse_sender
from mcp_oidc.protocol.forms import parse_pairs, unique_params
from mcp_oidc.protocol.scopes import format_scope
from mcp_oidc.protocol.uris import with_params
from mcp_oidc.server.client_documents import document_error_page, find_sender
from mcp_oidc.server.consent_page import Ask, render_consent
from mcp_oidc.server.forgetting import recipes
from mcp_oidc.server.renewed_login import FORCING, has_to_log_in_again, url_after_login
from mcp_oidc.server.validator import AuthorizationCore, ConnectionValidator
from mcp_oidc.upstream.failures import failure_page, take_login_failure
from mcp_oidc.upstream.login import redirect_to_login
from mcp_oidc.upstream.session import Login, current_login
from mcp_oidc.upstream.views import for_people

if TYPE_CHECKING:
    from mcp_oidc.models import AbstractClient

logger = logging.getLogger("mcp_oidc")


class AuthorizationView(BaseAuthorizationView):  # type: ignore[misc]  # DOT is untyped
    """`/authorize`. DOT and oauthlib make the code; what comes before is ours, because it has to be strict."""

    server_class = WebApplicationServer
    validator_class = ConnectionValidator
    oauthlib_backend_class = AuthorizationCore

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method not in ("GET", "POST"):
            return HttpResponseNotAllowed(["GET", "POST"])
        return self._answer(request)

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        try:
            pairs = parse_pairs(request.META.get("QUERY_STRING", "").encode())
            sender = parse_sender(unique_params(pair for pair in pairs if pair[0] in SENDER_PARAMS))
        except InvalidRequest as error:
            return _blame_request(request, error)
        try:
            client = find_sender(request, sender)
        except LoginRequired:
            return _log_in_first(request, pairs)
        except OAuthError as error:
            return document_error_page(request, error)
        if client is None:
            return _ask_to_forget(request, _("This server does not know the app that sent you."))
        redirect_uri = find_redirect_uri(client, sender.redirect_uri)
        if redirect_uri is None:
            return _ask_to_forget(request, _("The app wants the answer at an address that it has not registered."))
        try:
            return self._decide(request, unique_params(pairs), client, redirect_uri)
        except OAuthError as error:
            if error.log:
                logger.warning("%s: %s", error.code, error.log)
            return _send(request, redirect_uri, error.as_dict(), state=sender.state)

    def _decide(
        self, request: HttpRequest, params: Mapping[str, str], client: AbstractClient, redirect_uri: str
    ) -> HttpResponseBase:
        asked = parse_request(params, redirect_uri=redirect_uri)
        failure = take_login_failure(request)
        if failure is not None:
            raise failure
        resource = find_resource(asked.resource, issuer_of(request))
        login = current_login(request)
        if login is None or has_to_log_in_again(login, asked, params):
            return _to_login(request, params, asked)
        scopes = _permitted(request, login, client, scopes_to_grant(asked.scopes, resource))
        ask = Ask(client, asked, resource, scopes, login)
        return self._hear(request, ask) if request.method == "POST" else self._put(request, ask)

    def _put(self, request: HttpRequest, ask: Ask) -> HttpResponseBase:
        needed = is_consent_needed(
            ask.login.user,
            ask.client,
            redirect_uri=ask.request.redirect_uri,
            resource=ask.resource.identifier,
            scopes=ask.scopes,
        )
        if not needed and "consent" not in ask.request.prompt:
            return self._approve(request, ask, was_asked=False)
        if "none" in ask.request.prompt:
            raise ConsentRequired("The user has to approve this first.")
        return render_consent(request, ask)

    def _hear(self, request: HttpRequest, ask: Ask) -> HttpResponseBase:
        decision = request.POST.get("decision")
        # The person who answers must be the one who was asked, and not who logged in meanwhile in another tab.
        if request.POST.get("identity") != str(ask.login.identity.subject) or decision not in ("allow", "deny"):
            return render_consent(request, ask)
        if decision == "deny":
            _tell_refusal(request, ask.login, ask.client, "denied by the user")
            raise AccessDenied("The user said no.")
        remember_consent(
            ask.login.user,
            ask.client,
            redirect_uri=ask.request.redirect_uri,
            resource=ask.resource.identifier,
            scopes=ask.scopes,
            caller=Caller.of(request),
        )
        return self._approve(request, ask, was_asked=True)

    def _approve(self, request: HttpRequest, ask: Ask, *, was_asked: bool) -> HttpResponseBase:
        approval = Approval(
            user=ask.login.user,
            identity=ask.login.identity,
            client=ask.client,
            request=ask.request,
            resource=ask.resource.identifier,
            scopes=ask.scopes,
            authenticated_at=ask.login.authenticated_at,
            idp_session=ask.login.idp_session,
            login_session=ask.login.session,
            was_asked=was_asked,
        )
        answer: dict[str, str] = {}
        credentials = {"approval": approval, "caller": Caller.of(request), "answer": answer}
        self.create_authorization_response(request, format_scope(ask.scopes), credentials, allow=True)
        # Not to the Location that oauthlib made: it writes the query of a registered URI anew.
        return _send(request, ask.request.redirect_uri, answer, state=ask.request.state)


authorize = for_people(AuthorizationView.as_view())


def _permitted(request: HttpRequest, login: Login, client: AbstractClient, scopes: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return get_adapter().authorize_connection(login.user, client, scopes)
    except AccessDenied:
        _tell_refusal(request, login, client, "refused by the adapter")
        raise


def _tell_refusal(request: HttpRequest, login: Login, client: AbstractClient, reason: str) -> None:
    caller = Caller.of(request)
    record(Kind.CONSENT, Outcome.REFUSED, reason=reason, user=login.user, client=client, caller=caller)


def _log_in_first(request: HttpRequest, pairs: list[tuple[str, str]]) -> HttpResponseBase:
    """To the login, after which the client's document is read. Until it confirms the redirect URI, errors are pages."""
    failure = take_login_failure(request)
    if failure is not None:
        return failure_page(request, failure, next_url=request.get_full_path())
    try:
        params = unique_params(pairs)
        return _to_login(request, params, parse_request(params, redirect_uri=params.get("redirect_uri", "")))
    except (InvalidRequest, LoginRequired, UnsupportedResponseType) as error:
        return _blame_request(request, error)


def _blame_request(request: HttpRequest, error: OAuthError) -> HttpResponse:
    message = _("The app sent you here with a broken request.")
    advice = _("Nothing that you did is wrong. If it happens again, tell the people who make the app.")
    return render_error(request, message, status=400, advice=advice, detail=error.description)


def _ask_to_forget(request: HttpRequest, message: str) -> HttpResponse:
    advice = _("Make the app forget how it registered here: it then registers anew.")
    return render_error(request, message, status=400, advice=advice, recipes=recipes())


def _to_login(request: HttpRequest, params: Mapping[str, str], asked: AuthorizationRequest) -> HttpResponseBase:
    if "none" in asked.prompt:
        raise LoginRequired("Nobody is logged in.")
    upstream_prompt = "select_account" if "select_account" in asked.prompt else "login"
    is_forced = bool(asked.prompt & FORCING) or asked.max_age is not None
    next_url = url_after_login(request.path, params, asked)
    return redirect_to_login(request, next_url, prompt=upstream_prompt if is_forced else "", max_age=asked.max_age)


def _send(request: HttpRequest, redirect_uri: str, answer: Mapping[str, str], *, state: str | None) -> HttpResponse:
    # RFC 9207: `iss` on every answer, errors included.
    params = {**answer, **({"state": state} if state is not None else {}), "iss": issuer_of(request)}
    target = with_params(redirect_uri, params)
    # The URI is a registered one; naming its own scheme is how DOT's redirect takes cursor:// and the like.
    response: HttpResponse = OAuth2ResponseRedirect(target, [urlsplit(target).scheme])
    response["Referrer-Policy"] = "no-referrer"
    return response
