"""Consents: what a user approved before, and whether that covers what is asked now."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from mcp_oidc.conf import app_settings
from mcp_oidc.core import audit
from mcp_oidc.core.clock import Now
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.models import AbstractClient, Consent
from mcp_oidc.protocol.scopes import format_scope, parse_scope
from mcp_oidc.protocol.uris import is_local, without_port


def is_consent_needed(
    user: AbstractBaseUser, client: AbstractClient, *, redirect_uri: str, resource: str, scopes: Collection[str]
) -> bool:
    """Whether the user has to be asked: for anything that they did not approve in just this form."""
    if client.skip_authorization or app_settings.CONSENT == "never":
        return False
    if app_settings.CONSENT == "always" or not _can_be_remembered(redirect_uri):
        return True
    approved = (
        Consent.objects.filter(user_id=user.pk, client=client, fingerprint=_fingerprint(redirect_uri, resource))
        .values_list("scopes", flat=True)
        .first()
    )
    # Whoever approved a wider scope was told there what it implies.
    return approved is None or not set(scopes) <= set(app_settings.with_implied(parse_scope(approved)))


def remember_consent(
    user: AbstractBaseUser,
    client: AbstractClient,
    *,
    redirect_uri: str,
    resource: str,
    scopes: Collection[str],
    caller: audit.Caller = audit.NOBODY,
) -> None:
    """Keep what the user approved. Scopes add up: a client that asks for less does not forget the rest."""
    approval = {"redirect_uri": without_port(redirect_uri), "resource": resource, "approved_at": Now()}
    key = {"user_id": user.pk, "client_id": client.pk, "fingerprint": _fingerprint(redirect_uri, resource)}
    told = partial(_tell, user, client, resource, caller)
    while not _remember(key, approval, scopes, told):
        # Another tab was faster; each try is a transaction of its own, which sees what that one wrote.
        pass


@retry_conflicts
def _remember(
    key: dict[str, Any], approval: dict[str, Any], scopes: Collection[str], tell: Callable[[str], None]
) -> bool:
    # No lock and one conditional UPDATE: approvals in two tabs at once would end in a deadlock on MariaDB.
    with transaction.atomic():
        consent, is_new = Consent.objects.get_or_create(**key, defaults={**approval, "scopes": format_scope(scopes)})
        wider = format_scope(dict.fromkeys([*parse_scope(consent.scopes), *scopes]))
        read = Consent.objects.filter(pk=consent.pk, scopes=consent.scopes)
        if not is_new and not read.update(scopes=wider, approved_at=Now()):
            return False
        if is_new or wider != consent.scopes:
            tell(wider)
    return True


def _tell(user: AbstractBaseUser, client: AbstractClient, resource: str, caller: audit.Caller, scopes: str) -> None:
    audit.record(
        Kind.CONSENT_REMEMBERED,
        Outcome.ALLOWED,
        user=user,
        client=client,
        caller=caller,
        detail={"resource": resource, "scopes": scopes},
    )


def _can_be_remembered(redirect_uri: str) -> bool:
    # RFC 8252 8.6: an id proves nothing of a program on the person's device, so that only the person can tell.
    return app_settings.CONSENT_REMEMBER_LOCAL or not is_local(redirect_uri)


def _fingerprint(redirect_uri: str, resource: str) -> str:
    return hashlib.sha256(f"{without_port(redirect_uri)}\0{resource}".encode()).hexdigest()
