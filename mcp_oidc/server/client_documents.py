"""Clients whose id is the URL of a metadata document: read for users who have logged in, and kept until it is stale."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from oauth2_provider.settings import oauth2_settings

from mcp_oidc.adapter import get_adapter
from mcp_oidc.conf import app_settings
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.client_documents import is_introducible, is_stale, keep_document
from mcp_oidc.core.clients import find_client, find_redirect_uri
from mcp_oidc.errors import (
    AccessDenied,
    InvalidClientMetadata,
    InvalidRedirectUri,
    LoginRequired,
    OAuthError,
    TemporarilyUnavailable,
    UpstreamUnavailable,
)
from mcp_oidc.pages import render_error
from mcp_oidc.protocol.authorization_requests import Sender
from mcp_oidc.protocol.client_documents import ClientDocument, parse_client_document
from mcp_oidc.server.document_fetch import fetch_document
from mcp_oidc.upstream.session import current_login

if TYPE_CHECKING:
    from mcp_oidc.models import AbstractClient

logger = logging.getLogger("mcp_oidc")

_FAILURES: dict[str, type[OAuthError]] = {
    error.code: error for error in (InvalidClientMetadata, InvalidRedirectUri, TemporarilyUnavailable)
}


def find_sender(request: HttpRequest, sender: Sender) -> AbstractClient | None:
    """The client that asks for an authorization, with its document as it is now, if it has one.

    A document is read for users who have logged in and for nobody else, or this server would fetch whatever a stranger
    names. Raises `LoginRequired` where one has to be read and nobody has, and for a client that is not known yet
    `TemporarilyUnavailable` and `InvalidClientMetadata`. Of the client that is known the last good document is served.
    Raises `AccessDenied` where the adapter refuses it.
    """
    client = find_client(sender.client_id)
    if not (is_introducible(sender.client_id) if client is None else is_stale(client)):
        return client
    if not _is_permitted(request, sender.client_id):
        return client
    if current_login(request) is None:
        # The kept document does for now, if it has the redirect URI: the request comes back after the login.
        if client is None or find_redirect_uri(client, sender.redirect_uri) is None:
            raise LoginRequired("Nobody is logged in.")
        return client
    return _read(request, sender.client_id, client)


def document_error_page(request: HttpRequest, error: OAuthError) -> HttpResponse:
    """The page for an error of `find_sender`. It leads nowhere but here: no redirect URI has been confirmed."""
    if error.log:
        logger.warning("%s: %s", error.code, error.log)
    if isinstance(error, TemporarilyUnavailable):
        advice, retry_url = _("Try again in a minute."), request.get_full_path()
        message = _(error.description)
        page = render_error(request, message, status=error.status, advice=advice, retry_url=retry_url)
        page["Retry-After"] = str(error.retry_after)
        return page
    if isinstance(error, AccessDenied):
        return render_error(request, _(error.description), status=error.status)
    message = _("The app describes itself in a way that this server cannot use.")
    return render_error(request, message, status=error.status, detail=error.description)


def _is_permitted(request: HttpRequest, client_id: str) -> bool:
    # DOT's own setting, should the project have one; it calls these classes in the same way.
    permissions = oauth2_settings.CIMD_REGISTRATION_PERMISSION_CLASSES
    return bool(permissions) and all(each().has_permission(request, client_id) for each in permissions)


def _read(request: HttpRequest, url: str, known: AbstractClient | None) -> AbstractClient | None:
    try:
        document, max_age = _fetch(url)
    except tuple(_FAILURES.values()) as error:
        if known is None:
            raise
        logger.warning("a client's document could not be read again, its last one is served: %s", error)
        return known
    get_adapter().authorize_registration(request, document)
    return keep_document(document, max_age=max_age, caller=Caller.of(request))


def _fetch(url: str) -> tuple[ClientDocument, int]:
    _require_no_recent_failure(url)
    try:
        fetched = fetch_document(url)
        document = parse_client_document(fetched.members, url=url, private_schemes=app_settings.REDIRECT_SCHEMES)
    except UpstreamUnavailable as error:
        failure = TemporarilyUnavailable(
            gettext_noop("The app's description of itself cannot be read just now."),
            log=str(error),
            retry_after=oauth2_settings.CIMD_FAILURE_BACKOFF_SECONDS,
        )
        _remember_failure(url, failure)
        raise failure from None
    except (InvalidClientMetadata, InvalidRedirectUri) as error:
        _remember_failure(url, error)
        raise
    return document, fetched.max_age


def _require_no_recent_failure(url: str) -> None:
    try:
        failure = cache.get(_failure_key(url))
    except Exception:
        # Each cache has its own errors. Without a cache, the number of fetches at once is still bounded.
        logger.warning("the cache does not answer", exc_info=True)
        return
    if failure is not None:
        code, description = failure
        raise _FAILURES[code](description, retry_after=oauth2_settings.CIMD_FAILURE_BACKOFF_SECONDS)


def _remember_failure(url: str, error: OAuthError) -> None:
    try:
        cache.set(_failure_key(url), (error.code, error.description), oauth2_settings.CIMD_FAILURE_BACKOFF_SECONDS)
    except Exception:
        logger.warning("the cache does not answer", exc_info=True)


def _failure_key(url: str) -> str:
    # Hashed: caches limit the length and the characters of their keys.
    return f"mcp_oidc:document-failure:{hashlib.sha256(url.encode()).hexdigest()}"
