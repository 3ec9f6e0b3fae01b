"""Health: whether this process can do its work."""

from __future__ import annotations

import logging

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from mcp_oidc.core.keys import key_ring
from mcp_oidc.errors import OAuthError

logger = logging.getLogger("mcp_oidc")


@login_not_required
@transaction.non_atomic_requests
@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """200 while the database answers and there is a key to sign with, else 503. It tells nothing else to anybody."""
    try:
        # Keys from JWKS tell nothing about the database.
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        _ = key_ring(max_age=0).signing
    except (DatabaseError, InterfaceError, OAuthError):
        logger.exception("health: there is no database, or no key to sign with")
        return JsonResponse({"status": "unavailable"}, status=503, headers={"Cache-Control": "no-store"})
    return JsonResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})
