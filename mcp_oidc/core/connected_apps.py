"""Connected apps: what a user allowed and has not taken back, one entry for each client."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser

from mcp_oidc.core.clients import clients
from mcp_oidc.core.clock import Now
from mcp_oidc.models import AbstractClient, Connection, Consent
from mcp_oidc.protocol.scopes import parse_scope


@dataclass(frozen=True)
class ConnectedApp:
    """A client of a user. `scopes` are those approved, for each resource.

    `last_used_at` is None for one that is not connected any more and only remembered as approved.
    """

    client: AbstractClient
    scopes: Mapping[str, tuple[str, ...]]
    redirect_uris: tuple[str, ...]
    approved_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True)
class _Trace:
    """What a connection or a consent tells of its client."""

    client_id: Any
    resource: str
    scopes: str
    redirect_uri: str
    approved_at: datetime
    last_used_at: datetime | None = None


def connected_apps(user: AbstractBaseUser) -> list[ConnectedApp]:
    """The apps of `user`, the one used last first."""
    traces: dict[Any, list[_Trace]] = defaultdict(list)
    for trace in _traces(user):
        traces[trace.client_id].append(trace)
    known = clients().in_bulk(traces)
    apps = [_app(client, traces[key]) for key, client in known.items() if client.is_alive]
    return sorted(
        apps, key=lambda app: (app.last_used_at is not None, app.last_used_at or app.approved_at), reverse=True
    )


def _traces(user: AbstractBaseUser) -> Iterable[_Trace]:
    columns = ("client_id", "resource", "scopes", "redirect_uri")
    living = Connection.objects.filter(user=user.pk, revoked_at=None, expires_at__gt=Now())
    for row in living.values_list(*columns, "created_at", "last_used_at"):
        yield _Trace(*row)
    for row in Consent.objects.filter(user=user.pk).values_list(*columns, "approved_at"):
        yield _Trace(*row)


def _app(client: AbstractClient, traces: list[_Trace]) -> ConnectedApp:
    scopes: dict[str, tuple[str, ...]] = {}
    for trace in sorted(traces, key=lambda trace: trace.resource):
        both = (*scopes.get(trace.resource, ()), *parse_scope(trace.scopes))
        scopes[trace.resource] = tuple(dict.fromkeys(both))
    return ConnectedApp(
        client=client,
        scopes=scopes,
        redirect_uris=tuple(sorted({trace.redirect_uri for trace in traces})),
        approved_at=min(trace.approved_at for trace in traces),
        last_used_at=max((trace.last_used_at for trace in traces if trace.last_used_at is not None), default=None),
    )
