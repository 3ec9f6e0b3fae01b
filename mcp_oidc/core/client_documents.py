"""Clients with a metadata document: which may become known by it, and what of it is kept."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from mcp_oidc.conf import app_settings
from mcp_oidc.core import audit
from mcp_oidc.core.client_hosts import is_host_blocked
from mcp_oidc.core.clients import changed_names, clients, find_client
from mcp_oidc.core.clock import Now, from_now
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.models import AbstractClient
from mcp_oidc.protocol.client_documents import ClientDocument, check_document_url

CIMD = AbstractClient.RegistrationSource.CIMD


def is_introducible(client_id: str) -> bool:
    """Whether an unknown client may become known by the document at its id.

    It may not where a client of this id was deleted or is blocked, or an operator blocked its host.
    """
    if app_settings.REGISTRATION == "closed":
        return False
    try:
        host = check_document_url(client_id)
    except ValueError:
        return False
    # MariaDB finds another client whose id differs in case. It has the place, so this one stays unknown.
    return not clients().filter(client_id=client_id).exists() and not is_host_blocked(host)


def is_stale(client: AbstractClient) -> bool:
    """Whether the client has a document that should be read again."""
    if client.registration_source != CIMD or app_settings.REGISTRATION == "closed":
        return False
    return client.cimd_expires_at is None or client.cimd_expires_at <= timezone.now()


def keep_document(document: ClientDocument, *, max_age: int, caller: audit.Caller) -> AbstractClient | None:
    """The living client of `document`, with what it says now. `max_age`: seconds until it should be read again.

    None where the id belongs to a client that came another way, is blocked or deleted, or differs in case only.
    """
    known = clients().filter(client_id=document.client_id).first()
    if known is None:
        _introduce(document, max_age, caller)
    elif known.client_id == document.client_id and known.registration_source == CIMD:
        _renew(known, document, max_age, caller)
    client = find_client(document.client_id)
    return client if client is not None and client.registration_source == CIMD else None


def _introduce(document: ClientDocument, max_age: int, caller: audit.Caller) -> None:
    client = clients().model(
        client_id=document.client_id,
        authorization_grant_type=AbstractClient.GRANT_AUTHORIZATION_CODE,
        registration_source=CIMD,
        **_columns(document),
        cimd_expires_at=from_now(max_age),
    )
    try:
        with transaction.atomic():
            client.save(force_insert=True)
            audit.record(Kind.CLIENT_REGISTERED, Outcome.ALLOWED, client=client, caller=caller)
    except IntegrityError:
        # Another request was faster, or on MariaDB an id in other letter case: whoever is there is found next.
        return


@retry_conflicts
def _renew(known: AbstractClient, document: ClientDocument, max_age: int, caller: audit.Caller) -> None:
    # Only what the document says: whether the client is blocked or deleted is decided by others meanwhile.
    columns = _columns(document)
    with transaction.atomic():
        changed = (
            clients().filter(pk=known.pk).exclude(metadata_digest=document.digest).update(**columns, updated=Now())
        )
        clients().filter(pk=known.pk).update(cimd_expires_at=from_now(max_age))
        if changed:
            names = changed_names({name: getattr(known, name) for name in columns}, columns)
            audit.record(Kind.CLIENT_CHANGED, Outcome.ALLOWED, client=known, caller=caller, detail={"changed": names})


def _columns(document: ClientDocument) -> dict[str, Any]:
    is_public = "none" in document.auth_methods
    return {
        "name": document.name[:255],
        "redirect_uris": " ".join(document.redirect_uris),
        "metadata": document.as_dict(),
        "metadata_digest": document.digest,
        "token_endpoint_auth_method": document.auth_method,
        "client_type": AbstractClient.CLIENT_PUBLIC if is_public else AbstractClient.CLIENT_CONFIDENTIAL,
        "host": document.host,
    }
