"""Who may register now: not who was blocked, and not more than the database can bear."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from django.db import router
from django.db.models import Count, Exists, Min, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_noop

from mcp_oidc.conf import app_settings
from mcp_oidc.core import audit
from mcp_oidc.core.cleanup import delete_clients, never_used_clients
from mcp_oidc.core.clients import clients
from mcp_oidc.core.clock import from_now
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.errors import AccessDenied, TooManyRequests
from mcp_oidc.models import AbstractClient, ClientHost, Event
from mcp_oidc.protocol.client_metadata import ClientMetadata

HOUR = 3600
# So many identical registrations an hour from one address let those that are older than an hour be forgotten.
MAX_TWINS = 10
_COUNTED = (Kind.CLIENT_REGISTERED, Kind.CLIENT_CHANGED)


@dataclass(frozen=True)
class _Load:
    """What was registered within the last hour and is not in use: in all, from one address, and just the same."""

    total: int
    here: int
    twins: int
    first: datetime | None
    first_here: datetime | None


def admit(metadata: ClientMetadata, *, is_new: bool, caller: audit.Caller) -> None:
    """Let a new client register, or one that is known change what it registered.

    Raises `TooManyRequests` where the limit of its address or of all is reached, and `AccessDenied` for a client that
    an operator blocked: by the host of one of its redirects, or as the twin of one that was blocked.
    """
    load = _recent_load(metadata, caller)
    _require_room(load, caller)
    if _is_blocked(metadata):
        tell_refusal(metadata, "client blocked", caller=caller)
        raise AccessDenied(gettext_noop("An administrator of this server has blocked the client."))
    if is_new and load.twins and load.twins % MAX_TWINS == 0:
        _forget_twins(metadata, caller)


def tell_refusal(metadata: ClientMetadata, reason: str, *, caller: audit.Caller) -> None:
    """Record that a registration was refused. It counts for the limits, so strangers cannot fill the audit."""
    detail = {"client_name": metadata.name[:255]}
    audit.record(Kind.CLIENT_REGISTERED, Outcome.REFUSED, reason=reason, caller=caller, detail=detail)


def _recent_load(metadata: ClientMetadata, caller: audit.Caller) -> _Load:
    # A client that somebody used counts no more: a product whose users share an address has as many as it has users.
    recent = Event.objects.using(router.db_for_write(Event)).filter(
        kind__in=_COUNTED, created_at__gt=from_now(-HOUR), client__last_used_at=None
    )
    here = Q(address=caller.address)
    twins = Q(here, kind=Kind.CLIENT_REGISTERED, client__metadata_digest=metadata.digest)
    counts = recent.aggregate(
        total=Count("pk"),
        here=Count("pk", filter=here),
        twins=Count("pk", filter=twins),
        first=Min("created_at"),
        first_here=Min("created_at", filter=here),
    )
    return _Load(**counts)


def _require_room(load: _Load, caller: audit.Caller) -> None:
    # Requests that run at the same moment do not see each other, so a few more may pass. That harms nobody.
    _require_less(load.total, app_settings.REGISTRATIONS_PER_HOUR, load.first)
    if caller.address is not None:
        _require_less(load.here, app_settings.REGISTRATIONS_PER_ADDRESS, load.first_here)


def _require_less(count: int, limit: int, first: datetime | None) -> None:
    if not limit or count < limit or first is None:
        return
    seconds = math.ceil(HOUR - (timezone.now() - first).total_seconds())
    raise TooManyRequests(
        gettext_noop("Too many clients were registered within the last hour."),
        log=f"registration refused: {count} within the last hour",
        retry_after=min(max(seconds, 1), HOUR),
    )


def _is_blocked(metadata: ClientMetadata) -> bool:
    twins = clients().filter(metadata_digest=metadata.digest, trust=AbstractClient.Trust.BLOCKED)
    hosts = ClientHost.objects.filter(host__in=metadata.hosts, trust=ClientHost.Trust.BLOCKED)
    return twins.values_list("trust").union(hosts.values_list("trust")).exists()


def _forget_twins(metadata: ClientMetadata, caller: audit.Caller) -> None:
    # Twins get a client each, even where both are public: with one id for two installations, the management token of
    # either would rule the other, and what a user approved for one would be remembered for the other. Those that
    # nobody used are forgotten instead, but not while their users may still be logging in.
    registered_here = Event.objects.filter(kind=Kind.CLIENT_REGISTERED, client=OuterRef("pk"), address=caller.address)
    delete_clients(never_used_clients(HOUR).filter(Exists(registered_here), metadata_digest=metadata.digest))
