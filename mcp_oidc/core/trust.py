"""What an operator thinks of a client: trusted, blocked, or neither. A decision never undoes another one unawares."""

from __future__ import annotations

from django.db import transaction

from mcp_oidc.core import audit
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.core.living_cache import forget_living
from mcp_oidc.models import AbstractClient

Trust = AbstractClient.Trust


def trust_client(client: AbstractClient, *, caller: audit.Caller = audit.NOBODY) -> bool:
    """Vouch for a client: the consent page says so. False for one that is blocked, deleted, or trusted already."""
    return _move(client, Trust.NONE, Trust.TRUSTED, Kind.CLIENT_TRUSTED, caller)


def distrust_client(client: AbstractClient, *, caller: audit.Caller = audit.NOBODY) -> bool:
    """Vouch for a client no longer. Nothing of it ends. False for one that was not trusted."""
    return _move(client, Trust.TRUSTED, Trust.NONE, Kind.CLIENT_DISTRUSTED, caller)


@retry_conflicts
def decide_trust(client: AbstractClient, trust: Trust, kind: Kind, outcome: Outcome, *, caller: audit.Caller) -> None:
    """Decide about a client, whatever was decided before."""
    with transaction.atomic():
        client.trust = trust
        client.save(update_fields=["trust", "updated"])
        forget_living()
        audit.record(kind, outcome, client=client, caller=caller)


@retry_conflicts
def _move(client: AbstractClient, before: Trust, after: Trust, kind: Kind, caller: audit.Caller) -> bool:
    # Conditional: somebody may have blocked it while the operator was asked.
    rows = type(client)._default_manager.filter(pk=client.pk, trust=before, deleted_at=None)
    with transaction.atomic():
        if not rows.update(trust=after):
            return False
        audit.record(kind, Outcome.ALLOWED, client=client, caller=caller)
    client.trust = after
    return True
