"""Hosts that clients are known by: an operator trusts one, blocks it, or does neither.

Trust counts for metadata documents at the host only. A block counts for every client that is known by it, also by its
first https redirect URI: whoever names a blocked host without need harms nobody else.
"""

from __future__ import annotations

from django.db import transaction

from mcp_oidc.core import audit
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.core.living_cache import forget_living
from mcp_oidc.core.revocation import revoke_host
from mcp_oidc.models import ClientHost

_KINDS = {ClientHost.Trust.TRUSTED: Kind.HOST_TRUSTED, ClientHost.Trust.BLOCKED: Kind.HOST_BLOCKED}


def is_host_blocked(host: str) -> bool:
    """Whether clients of `host` are refused."""
    return ClientHost.objects.filter(host=host, trust=ClientHost.Trust.BLOCKED).exists()


def trust_host(host: str, *, note: str = "", caller: audit.Caller = audit.NOBODY) -> None:
    """Vouch for every client with a document at `host`: the consent page says so."""
    _end_block(host, caller)
    _decide(host, ClientHost.Trust.TRUSTED, note, caller)


def block_host(host: str, *, note: str = "", caller: audit.Caller = audit.NOBODY) -> None:
    """Refuse every client of `host`, and end what those that are known have."""
    # By itself, as with a blocked client: nothing new begins from here on.
    _decide(host, ClientHost.Trust.BLOCKED, note, caller)
    revoke_host(host, "host_blocked", caller=caller)


def unblock_host(host: str, *, caller: audit.Caller = audit.NOBODY) -> None:
    """Forget what was decided about `host`. Its clients begin anew: their users approve them again."""
    _end_block(host, caller)
    with transaction.atomic():
        deleted, _ = ClientHost.objects.filter(host=host).delete()
        if deleted:
            audit.record(Kind.HOST_UNBLOCKED, Outcome.ALLOWED, reason=host, caller=caller)


@retry_conflicts
def _decide(host: str, trust: ClientHost.Trust, note: str, caller: audit.Caller) -> None:
    with transaction.atomic():
        ClientHost.objects.update_or_create(host=host, defaults={"trust": trust, "note": note})
        forget_living()
        outcome = Outcome.REVOKED if trust == ClientHost.Trust.BLOCKED else Outcome.ALLOWED
        audit.record(_KINDS[trust], outcome, reason=host, caller=caller)


def _end_block(host: str, caller: audit.Caller) -> None:
    # What had begun when the host was blocked, and came to be afterwards.
    if is_host_blocked(host):
        revoke_host(host, "host_blocked", caller=caller)
