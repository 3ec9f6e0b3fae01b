"""Token sets of the IdP that are given up: nobody needs them since the last connection of their user has ended, or an
operator wants them gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.dispatch import Signal

from mcp_oidc.core import audit
from mcp_oidc.core.batches import BATCH_SIZE
from mcp_oidc.core.clock import Now, from_now
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.core.upstream_tokens import read_tokens
from mcp_oidc.errors import UpstreamLoginRequired
from mcp_oidc.models import Connection, Identity, IdpTokenSet

# Sent with `identity_ids`, a set, after connections of theirs have ended. For this package: projects have
# `mcp_oidc.signals`.
connections_ended = Signal()

# Sent with `provider`, `issuer` and `refresh_token` after that refresh token was deleted here.
tokens_deleted = Signal()

# Seconds after which nobody is still about to approve a client with that login.
_LOGIN_LIFETIME = 24 * 60 * 60


def has_abandoned_tokens(identity_id: int) -> bool:
    """Whether an identity has tokens that no connection needs, and that are not those of a login under way."""
    return _abandoned().filter(pk=identity_id).exists()


def abandoned_tokens() -> Iterator[int]:
    """The identities that have such tokens."""
    batch = list(_abandoned().order_by("pk").values_list("pk", flat=True)[:BATCH_SIZE])
    while batch:
        yield from batch
        # Past those that could not be dropped, or it would never end.
        later = _abandoned().filter(pk__gt=batch[-1]).order_by("pk")
        batch = list(later.values_list("pk", flat=True)[:BATCH_SIZE])


def announce_deletion(identities: QuerySet[Identity]) -> None:
    """Tell of the refresh tokens of identities that are about to be deleted, once that has been committed."""
    for identity in identities.filter(token_set__has_refresh_token=True):
        try:
            refresh_token = read_tokens(identity.pk).tokens.refresh_token
        except UpstreamLoginRequired:
            # Nobody can read them any more.
            continue
        told = {"provider": identity.provider, "issuer": identity.issuer, "refresh_token": refresh_token}
        transaction.on_commit(partial(tokens_deleted.send_robust, sender=IdpTokenSet, **told))


@retry_conflicts
def forget_idp_tokens(which: Q, *, caller: audit.Caller = audit.NOBODY) -> int:
    """Drop the token sets of the identities that `which` selects, and end their refresh tokens at the IdP.

    The latter is tried once, beside the request. Returns how many were dropped.
    """
    with transaction.atomic():
        # Locked, so that each is told of once.
        kept = IdpTokenSet.objects.select_for_update().filter(identity__in=Identity.objects.filter(which))
        keys = list(kept.order_by("pk").values_list("identity_id", flat=True))
        identities = Identity.objects.filter(pk__in=keys)
        announce_deletion(identities)
        IdpTokenSet.objects.filter(identity__in=keys).delete()
        for identity in identities.select_related("user"):
            detail = {"provider": identity.provider}
            audit.record(Kind.IDP_TOKENS_FORGOTTEN, Outcome.REVOKED, user=identity.user, caller=caller, detail=detail)
    return len(keys)


def _abandoned() -> QuerySet[Identity]:
    connections = Connection.objects.filter(identity=OuterRef("pk"))
    living = connections.filter(revoked_at=None, expires_at__gt=Now())
    # Who has logged in and not approved anything yet is about to.
    approved_since = connections.filter(created_at__gte=OuterRef("last_login_at"))
    is_no_login_under_way = Exists(approved_since) | Q(last_login_at__lt=from_now(-_LOGIN_LIFETIME))
    return Identity.objects.filter(~Exists(living), is_no_login_under_way, token_set__isnull=False)
