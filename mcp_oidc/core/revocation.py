"""Revocation: what ends is refused from the next request on, and told of by an event in the same transaction.

Where much ends, it ends in batches, which hold no locks for long. What has to bite at once is decided first, by the
state of the client, the host or the user, which every request looks at.
"""

from __future__ import annotations

import uuid

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import Q

from mcp_oidc.core import audit
from mcp_oidc.core.abandoned_tokens import announce_deletion
from mcp_oidc.core.clock import Now
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.endings import end_all, end_connections
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.core.living_cache import forget_living
from mcp_oidc.core.trust import decide_trust
from mcp_oidc.models import AbstractClient, Connection, Consent, Identity


def revoke_connection(connection_id: uuid.UUID, reason: str, *, caller: audit.Caller = audit.NOBODY) -> bool:
    """End one connection; False if it had ended already."""
    return bool(end_all([connection_id], reason, caller=caller))


def revoke_client(client: AbstractClient, reason: str, *, caller: audit.Caller = audit.NOBODY) -> int:
    """End every connection of a client and forget what users approved for it. Returns how many connections ended."""
    # First, so that nobody comes back unasked meanwhile.
    _forget_approvals(client, reason, caller)
    return end_connections(Q(client=client), reason, caller=caller)


def block_client(client: AbstractClient, *, caller: audit.Caller = audit.NOBODY) -> None:
    """Let a client do nothing any more, until it is unblocked, and end what it has."""
    # By itself: nothing of the client is taken from here on, and a transaction that held its row while it waits for its
    # connections would meet the redemption of a code in a deadlock on MariaDB.
    decide_trust(client, AbstractClient.Trust.BLOCKED, Kind.CLIENT_BLOCKED, Outcome.REVOKED, caller=caller)
    revoke_client(client, "client_blocked", caller=caller)


def unblock_client(client: AbstractClient, *, caller: audit.Caller = audit.NOBODY) -> None:
    """Let a blocked client begin anew: its users approve it again."""
    # What had begun when it was blocked, and came to be afterwards.
    end_connections(Q(client=client), "client_blocked", caller=caller)
    decide_trust(client, AbstractClient.Trust.NONE, Kind.CLIENT_UNBLOCKED, Outcome.ALLOWED, caller=caller)


def delete_client(client: AbstractClient, *, caller: audit.Caller = audit.NOBODY) -> None:
    """End a client for good. Its row stays as a tombstone, and whoever goes on using its id is told invalid_client."""
    _bury(client, caller)
    revoke_client(client, "client_deleted", caller=caller)


def revoke_host(host: str, reason: str, *, caller: audit.Caller = audit.NOBODY) -> int:
    """End every connection of the clients of a host and forget what users approved. Returns how many ended.

    The caller records what was decided about the host.
    """
    which = Q(client__host=host)
    _forget(which)
    return end_connections(which, reason, caller=caller)


@retry_conflicts
def revoke_consent(consent: Consent, *, caller: audit.Caller = audit.NOBODY) -> int:
    """Forget an approval and end every connection of its user and client. Returns how many ended."""
    same = Q(user=consent.user_id, client=consent.client_id)
    with transaction.atomic():
        # In the order in which the rows of a user go who is deleted.
        ended = end_connections(same, "consent_revoked", caller=caller)
        if Consent.objects.filter(pk=consent.pk).delete()[0]:
            audit.record(Kind.CONSENT_REVOKED, Outcome.REVOKED, user=consent.user, client=consent.client, caller=caller)
    return ended


@retry_conflicts
def disconnect(user: AbstractBaseUser, client: AbstractClient, *, caller: audit.Caller = audit.NOBODY) -> int:
    """What a user decides: end every connection of theirs with a client, and forget what they approved for it.

    Returns how many ended.
    """
    which, reason = Q(user=user.pk, client=client), "user_request"
    with transaction.atomic():
        ended = end_connections(which, reason, caller=caller)
        if Consent.objects.filter(which).delete()[0]:
            audit.record(Kind.CONSENT_REVOKED, Outcome.REVOKED, reason=reason, user=user, client=client, caller=caller)
    return ended


@retry_conflicts
def revoke_user(user: AbstractBaseUser, reason: str, *, caller: audit.Caller = audit.NOBODY) -> int:
    """End every connection of a user and forget what they approved. Returns how many connections ended."""
    which = Q(user=user.pk)
    with transaction.atomic():
        ended = end_connections(which, reason, caller=caller)
        forgotten, _ = Consent.objects.filter(which).delete()
        if ended or forgotten:
            detail = {"connections": ended}
            audit.record(Kind.USER_REVOKED, Outcome.REVOKED, reason=reason, user=user, caller=caller, detail=detail)
    return ended


def revoke_deleted_user(user: AbstractBaseUser) -> None:
    """End what a user has who is being deleted. The caller holds the transaction in which the rows go.

    The events keep the subject of the tokens, which is ours and means nothing elsewhere, and nothing of the person.
    """
    end_connections(Q(user=user.pk), "user_deleted")
    identities = Identity.objects.filter(user=user.pk)
    announce_deletion(identities)
    for subject in identities.values_list("subject", flat=True):
        audit.record(Kind.USER_DELETED, Outcome.REVOKED, subject=str(subject))


@retry_conflicts
def revoke_identity(identity_id: int, reason: str, *, caller: audit.Caller = audit.NOBODY) -> int:
    """End the connections of somebody at the IdP. Returns how many ended.

    What they approved is remembered: they come back by logging in.
    """
    with transaction.atomic():
        return end_connections(Q(identity=identity_id), reason, caller=caller)


@retry_conflicts
def _bury(client: AbstractClient, caller: audit.Caller) -> None:
    with transaction.atomic():
        living = type(client)._default_manager.filter(pk=client.pk, deleted_at=None)
        if living.update(deleted_at=Now()):
            forget_living()
            audit.record(Kind.CLIENT_DELETED, Outcome.REVOKED, client=client, caller=caller)


@retry_conflicts
def _forget(which: Q) -> None:
    Consent.objects.filter(which).delete()


@retry_conflicts
def _forget_approvals(client: AbstractClient, reason: str, caller: audit.Caller) -> None:
    with transaction.atomic():
        Consent.objects.filter(client=client).delete()
        detail = {"connections": Connection.objects.filter(client=client, revoked_at=None).count()}
        audit.record(Kind.CLIENT_REVOKED, Outcome.REVOKED, reason=reason, client=client, caller=caller, detail=detail)
