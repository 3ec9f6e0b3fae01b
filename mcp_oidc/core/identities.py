"""Identities: who logs in at the IdP, and which Django user that is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_noop

from mcp_oidc.adapter import get_adapter
from mcp_oidc.core import audit
from mcp_oidc.core.accounts import follow_claims
from mcp_oidc.core.clock import Now
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.core.linking import find_account, hold_account
from mcp_oidc.errors import AccessDenied, TemporarilyUnavailable, UpstreamError
from mcp_oidc.models import Identity

# The provider and issuer of users who log in at the project's own LOGIN_URL.
LOCAL = "local"
# OpenID Connect Core 2
MAX_SUB_LENGTH = 255


def sign_in(
    provider: str,
    issuer: str,
    claims: Mapping[str, Any],
    *,
    caller: audit.Caller,
    link_by_email: bool = False,
    update_user: bool = False,
) -> Identity:
    """The identity of (issuer, `sub`), which decides alone.

    At the first login a user is created, or with `link_by_email` found; with `update_user` the user follows the claims
    of later ones. Raises `AccessDenied` for somebody who may not log in: refused by the adapter, or deactivated here;
    `UpstreamError` for claims that name nobody.
    """
    sub = _require_sub(claims)
    identity = _find(provider, issuer, sub)
    try:
        get_adapter().authorize_login(claims)
        if identity is None:
            identity = _create(provider, issuer, sub, claims, caller=caller, link_by_email=link_by_email)
        _note_login(identity, claims, caller=caller, update_user=update_user)
    except AccessDenied as error:
        user = identity.user if identity else None
        reason = error.log or "refused by the adapter"
        audit.record(Kind.LOGIN, Outcome.REFUSED, reason=reason, user=user, caller=caller)
        raise
    return identity


def local_identity(user: AbstractBaseUser) -> Identity:
    """The identity of a user who logs in at this project itself."""
    sub = str(user.pk)
    return _find(LOCAL, LOCAL, sub) or _insert(LOCAL, LOCAL, sub, {"sub": sub}, user)


def find_identity(pk: Any) -> Identity | None:
    """The identity that a session remembers, with its user."""
    return Identity.objects.select_related("user").filter(pk=pk).first()


def known_identity(provider: str, issuer: str, sub: str) -> Identity | None:
    """The identity of somebody who has logged in before, with its user."""
    return _find(provider, issuer, sub)


def _require_sub(claims: Mapping[str, Any]) -> str:
    # Else everybody of whom the IdP says null would be one user.
    sub = claims.get("sub")
    if not isinstance(sub, str) or not 0 < len(sub) <= MAX_SUB_LENGTH or not sub.isprintable():
        raise UpstreamError("the claims of the identity provider have no usable sub")
    return sub


def _find(provider: str, issuer: str, sub: str) -> Identity | None:
    return Identity.objects.select_related("user").filter(fingerprint=_fingerprint(provider, issuer, sub)).first()


def _note_login(identity: Identity, claims: Mapping[str, Any], *, caller: audit.Caller, update_user: bool) -> None:
    _update(identity, claims, caller=caller, update_user=update_user)
    # After its commit: that the adapter has deactivated the user is kept.
    if not identity.user.is_active:
        raise AccessDenied(gettext_noop("This account is deactivated."), log="user inactive")


@retry_conflicts
def _update(identity: Identity, claims: Mapping[str, Any], *, caller: audit.Caller, update_user: bool) -> None:
    with transaction.atomic():
        user = _lock_user(identity)
        if not user.is_active:
            return
        taken = follow_claims(user, claims) if update_user else []
        adapter = get_adapter()
        adapter.update_user(user, claims)
        if not user.is_active:
            return
        identity.claims = dict(claims)
        identity.custom_data = adapter.extract_custom_data(claims)
        identity.save(update_fields=["claims", "custom_data"])
        Identity.objects.filter(pk=identity.pk).update(last_login_at=Now())
        detail = {"provider": identity.provider, **({"taken": taken} if taken else {})}
        audit.record(Kind.LOGIN, Outcome.ALLOWED, user=user, caller=caller, detail=detail)


def _lock_user(identity: Identity) -> AbstractBaseUser:
    # Read again: what follows the claims must not be written over what an operator has just changed.
    user = type(identity.user)._base_manager.select_for_update().filter(pk=identity.user_id).first()
    if user is None:
        raise TemporarilyUnavailable(gettext_noop("This account has just been deleted."))
    identity.user = user
    return user


def _create(
    provider: str, issuer: str, sub: str, claims: Mapping[str, Any], *, caller: audit.Caller, link_by_email: bool
) -> Identity:
    account = find_account(provider, claims, caller=caller) if link_by_email else None
    if account is not None:
        identity = _link(account, provider, issuer, sub, claims, caller=caller)
        if identity is not None:
            return identity
    try:
        return _create_with_user(provider, issuer, sub, claims, caller=caller)
    except IntegrityError:
        # Two first logins at once: of one person, who is there now, or of two with one user name, who get two.
        return _find(provider, issuer, sub) or _create_with_user(provider, issuer, sub, claims, caller=caller)


@retry_conflicts
def _link(
    account: AbstractBaseUser,
    provider: str,
    issuer: str,
    sub: str,
    claims: Mapping[str, Any],
    *,
    caller: audit.Caller,
) -> Identity | None:
    with transaction.atomic():
        held = hold_account(account, provider, claims)
        if held is None:
            # By this very person in another tab, or by somebody else.
            return _find(provider, issuer, sub)
        identity = _insert(provider, issuer, sub, claims, held)
        detail = {"provider": provider, "issuer": issuer}
        audit.record(Kind.LOGIN_LINKED, Outcome.ALLOWED, user=held, caller=caller, detail=detail)
        return identity


@retry_conflicts
def _create_with_user(
    provider: str, issuer: str, sub: str, claims: Mapping[str, Any], *, caller: audit.Caller
) -> Identity:
    with transaction.atomic():
        user = get_adapter().create_user({"iss": issuer, **claims})
        identity = _insert(provider, issuer, sub, claims, user)
        detail = {"provider": provider, "issuer": issuer}
        audit.record(Kind.USER_CREATED, Outcome.ALLOWED, user=user, caller=caller, detail=detail)
        return identity


def _insert(provider: str, issuer: str, sub: str, claims: Mapping[str, Any], user: AbstractBaseUser) -> Identity:
    fingerprint = _fingerprint(provider, issuer, sub)
    identity, _ = Identity.objects.get_or_create(
        fingerprint=fingerprint,
        defaults={
            "user_id": user.pk,
            "provider": provider,
            "issuer": issuer,
            "sub": sub,
            "claims": dict(claims),
            "created_at": Now(),
        },
    )
    if identity.user_id != user.pk:
        raise IntegrityError(fingerprint)
    return identity


def _fingerprint(provider: str, issuer: str, sub: str) -> str:
    return hashlib.sha256("\0".join((provider, issuer, sub)).encode()).hexdigest()
