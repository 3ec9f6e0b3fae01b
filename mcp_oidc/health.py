"""Health: whether this process lives, and whether it can do its work. Two questions, for two kinds of probe."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from mcp_oidc.core.keys import key_ring

logger = logging.getLogger("mcp_oidc")

OK, UNAVAILABLE, DEGRADED = "ok", "unavailable", "degraded"
_CACHE_KEY = "mcp_oidc.health"


def _for_probes(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    # Outside ATOMIC_REQUESTS: what opens a transaction first asks the database, and fails before it can tell.
    probed: Callable[[HttpRequest], HttpResponse] = login_not_required(
        transaction.non_atomic_requests(require_safe(view))
    )
    return probed


@_for_probes
def live(request: HttpRequest) -> HttpResponse:
    """200 while this process answers at all. A restart mends it where it does not, and mends nothing else."""
    return _answer(200, {"status": OK})


@_for_probes
def health(request: HttpRequest) -> HttpResponse:
    """200 while this process can do its work, else 503: the database answers, and there is a key to sign with.

    Without its cache it works on, and says "degraded". It tells nothing else to anybody; the log has the reasons.
    """
    parts = {
        "database": _try(_ask_database, "the database does not answer"),
        "keys": _try(lambda: key_ring(max_age=0).signing, "there is no key to sign with"),
        "cache": _try(lambda: cache.get(_CACHE_KEY), "the cache does not answer"),
    }
    if UNAVAILABLE in (parts["database"], parts["keys"]):
        return _answer(503, {"status": UNAVAILABLE, **parts})
    return _answer(200, {"status": OK if parts["cache"] == OK else DEGRADED, **parts})


def _try(ask: Callable[[], object], trouble: str) -> str:
    try:
        ask()
    except Exception:
        # Each cache backend fails in its own way, and a probe that gets a 500 learns nothing.
        logger.exception("health: %s", trouble)
        return UNAVAILABLE
    return OK


def _ask_database() -> None:
    # Keys from JWKS tell nothing about it.
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _answer(status: int, document: dict[str, str]) -> HttpResponse:
    return JsonResponse(document, status=status, headers={"Cache-Control": "no-store"})
