"""Approvals: what a user allowed a client becomes a connection, and its authorization code."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import IntegrityError, transaction

from mcp_oidc.conf import app_settings
from mcp_oidc.core import audit
from mcp_oidc.core.clock import Now, from_now
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.connections import unused_codes
from mcp_oidc.core.encryption import mac_keys
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.core.sessions import hold_session
from mcp_oidc.errors import AccessDenied
from mcp_oidc.models import AbstractClient, Connection, Identity
from mcp_oidc.protocol.authorization_requests import AuthorizationRequest
from mcp_oidc.protocol.opaque_tokens import Kind as TokenKind
from mcp_oidc.protocol.opaque_tokens import derive_id, make_token
from mcp_oidc.protocol.scopes import format_scope


@dataclass(frozen=True)
class Approval:
    """What a user approved, and how they had logged in."""

    user: AbstractBaseUser
    identity: Identity
    client: AbstractClient
    request: AuthorizationRequest
    resource: str
    scopes: tuple[str, ...]
    authenticated_at: datetime
    idp_session: str
    # The login session, where the user logged in at the IdP.
    login_session: int | None = None
    # Whether the user was asked just now, or had approved the same before.
    was_asked: bool = True


def open_connection(approval: Approval, *, caller: audit.Caller) -> str:
    """Keep a new connection and return its authorization code.

    What a user approved once is opened once: a form that is sent twice, or a page that is loaded again, gets the same
    code for as long as that is good and unused. Raises `AccessDenied` where the user, their login or the client has
    just gone.
    """
    key = mac_keys()[0]
    same = derive_id(key, *_particulars(approval))
    connection = _open(approval, same, caller) or _open(approval, uuid.uuid4(), caller)
    if connection is None:
        raise AccessDenied("The account or the app was removed meanwhile.")
    return make_token(TokenKind.CODE, connection.pk, 0, salt=connection.salt, key=key)


@retry_conflicts
def _open(approval: Approval, connection_id: uuid.UUID, caller: audit.Caller) -> Connection | None:
    # None for an id that has had its use, and for a user or a client who is not there any more.
    try:
        with transaction.atomic():
            # A logout ends what was approved before it, and nothing is approved after it.
            if approval.login_session is not None and not hold_session(approval.login_session):
                raise AccessDenied("The login has ended meanwhile.")
            connection = _insert(approval, connection_id)
            _tell(approval, connection, caller)
    except IntegrityError:
        return unused_codes().filter(pk=connection_id).first()
    return connection


def _tell(approval: Approval, connection: Connection, caller: audit.Caller) -> None:
    audit.record(
        Kind.CONNECTION_APPROVED,
        Outcome.ALLOWED,
        reason="asked" if approval.was_asked else "not_asked",
        connection=connection,
        client=approval.client,
        caller=caller,
        detail={"resource": approval.resource, "scopes": format_scope(approval.scopes)},
    )


def _particulars(approval: Approval) -> tuple[str, ...]:
    """All that makes one approval. Clients draw a new challenge for each."""
    request = approval.request
    return (
        str(approval.identity.subject),
        str(approval.client.pk),
        approval.authenticated_at.isoformat(),
        request.redirect_uri,
        str(request.redirect_uri_sent),
        approval.resource,
        format_scope(approval.scopes),
        request.code_challenge,
        request.nonce,
        request.state or "",
    )


def _insert(approval: Approval, connection_id: uuid.UUID) -> Connection:
    code_end = from_now(app_settings.AUTHORIZATION_CODE_LIFETIME)
    return Connection.objects.create(
        pk=connection_id,
        client=approval.client,
        user_id=approval.user.pk,
        identity=approval.identity,
        subject=str(approval.identity.subject),
        resource=approval.resource,
        scopes=format_scope(approval.scopes),
        redirect_uri=approval.request.redirect_uri,
        redirect_uri_sent=approval.request.redirect_uri_sent,
        code_challenge=approval.request.code_challenge,
        nonce=approval.request.nonce,
        authenticated_at=approval.authenticated_at,
        idp_session=approval.idp_session,
        created_at=Now(),
        last_used_at=Now(),
        # A code that nobody redeems is cleaned up like any connection that has expired.
        code_expires_at=code_end,
        expires_at=code_end,
    )
