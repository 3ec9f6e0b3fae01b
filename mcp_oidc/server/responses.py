"""Answers of the protocol's endpoints: JSON that nobody caches, errors in OAuth's own terms, and their decorator."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation, TooManyFilesSent
from django.db import InterfaceError, OperationalError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from mcp_oidc.core.outages import tell_outage
from mcp_oidc.core.tallies import count
from mcp_oidc.errors import InvalidClient, InvalidRequest, OAuthError, ServerError, TemporarilyUnavailable

logger = logging.getLogger("mcp_oidc")

View = Callable[..., HttpResponse]


def endpoint(*methods: str, counted_as: str = "") -> Callable[[View], View]:
    """Make a view an endpoint of the protocol.

    It answers `methods` and OPTIONS, raises OAuthError for what goes back as JSON, takes no cookies and therefore needs
    no CSRF token. Not atomic: what was revoked before an error must stay revoked, whatever ATOMIC_REQUESTS says.
    Errors are counted in the tallies as `counted_as`.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapped(request: HttpRequest, **kwargs: Any) -> HttpResponse:
            if request.method == "OPTIONS":
                return HttpResponse(status=204, headers={"Allow": ", ".join((*methods, "OPTIONS"))})
            if request.method not in methods:
                return method_not_allowed(*methods)
            try:
                return view(request, **kwargs)
            except OAuthError as refusal:
                error = refusal
            except SuspiciousOperation:
                # A Host that is not allowed, while the issuer is derived from it.
                error = InvalidRequest("The request is not one for this server.")
            except (OperationalError, InterfaceError) as outage:
                tell_outage(outage)
                error = TemporarilyUnavailable("The server cannot reach its database.")
            except Exception:
                # Whatever happens, a client gets an OAuth error in JSON.
                logger.exception("unexpected error at %s", request.path)
                error = ServerError("The server failed; its log says why.")
            if counted_as:
                count(counted_as, error.code)
            return error_response(error)

        return csrf_exempt(login_not_required(transaction.non_atomic_requests(wrapped)))

    return decorate


def json_response(body: Mapping[str, Any], *, status: int = 200) -> JsonResponse:
    """JSON with the headers that RFC 6749 5.1 asks for."""
    return JsonResponse(dict(body), status=status, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


def public_json(body: Mapping[str, Any]) -> JsonResponse:
    """JSON that is the same for everybody and may be cached for a few minutes: metadata and keys."""
    return JsonResponse(dict(body), headers={"Cache-Control": "public, max-age=300"})


def error_response(error: OAuthError) -> JsonResponse:
    """The answer for an error (RFC 6749 5.2)."""
    if error.log:
        logger.info("%s: %s", error.code, error.log)
    response = json_response(error.as_dict(), status=error.status)
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    if isinstance(error, InvalidClient):
        # RFC 6749 5.2: required where the client used the header, and harmless elsewhere.
        response["WWW-Authenticate"] = 'Basic realm="mcp_oidc"'
    return response


def method_not_allowed(*methods: str) -> JsonResponse:
    """405 in JSON, naming the methods."""
    error = InvalidRequest(f"This endpoint takes {' and '.join(methods)} only.")
    response = json_response(error.as_dict(), status=405)
    response["Allow"] = ", ".join((*methods, "OPTIONS"))
    return response


def read_body(request: HttpRequest, *, content_type: str, limit: int) -> bytes:
    """The raw body of a request. Raises `InvalidRequest` for another content type or too large a body.

    Refused by its declared length first, so that a megabyte of nonsense is not even read.
    """
    if request.content_type != content_type:
        raise InvalidRequest(f"The content type must be {content_type}.")
    try:
        if int(request.META.get("CONTENT_LENGTH") or 0) > limit:
            raise InvalidRequest("The request is too large.")
        return request.body
    except (RequestDataTooBig, TooManyFilesSent, UnreadablePostError, ValueError):
        raise InvalidRequest("The request body could not be read.") from None
