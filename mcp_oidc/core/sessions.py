"""Login sessions: logins at the IdP that browsers still have, each with the Django session that stands for it.

One that has ended is no login from the next request on, whatever Django's session says. That session is deleted as
well, for the project's own pages, once the end has been committed. Where its store fails, cleanup tries again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookies
from django.db import transaction
from django.db.models import Q

from mcp_oidc.core import audit
from mcp_oidc.core.batches import BATCH_SIZE
from mcp_oidc.core.clock import Now, from_now
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.encryption import Undecryptable, decrypt, encrypt
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.models import Identity, LoginSession

logger = logging.getLogger("mcp_oidc")

# How exact "last seen" is: within it, a login that is used costs no write.
SEEN_INTERVAL = timedelta(hours=1)


@dataclass(frozen=True)
class DjangoSession:
    """A session as its store knows it. `lifetime` is in seconds.

    `key` is empty where the browser itself holds the session and nobody else can end it.
    """

    key: str = field(repr=False)
    lifetime: int

    @classmethod
    def of(cls, session: SessionBase) -> DjangoSession:
        """The stored form of `session`, which gets a key if it has none yet."""
        if not session.session_key:
            session.cycle_key()
        is_stored = not isinstance(session, SignedCookies)
        return cls(key=session.session_key or "" if is_stored else "", lifetime=session.get_expiry_age())


def hash_idp_session(provider: str, issuer: str, sid: str) -> str:
    """How the IdP's `sid` is kept, which may be of any length and has case. Empty where there is none."""
    # Whatever the IdP may have put into it, lone surrogates included.
    text = "\0".join((provider, issuer, sid)).encode(errors="surrogatepass")
    return hashlib.sha256(text).hexdigest() if sid else ""


def open_session(
    identity: Identity, django_session: DjangoSession, *, authenticated_at: datetime, sid: str, replaces: int | None
) -> LoginSession:
    """Keep a login, in the place of the one that the same Django session stood for before."""
    if replaces is not None:
        LoginSession.objects.filter(pk=replaces).delete()
    return LoginSession.objects.create(
        identity=identity,
        idp_session=hash_idp_session(identity.provider, identity.issuer, sid),
        payload=_seal(identity.pk, django_session),
        authenticated_at=authenticated_at,
        created_at=Now(),
        last_seen_at=Now(),
        expires_at=from_now(django_session.lifetime),
    )


def use_session(pk: int, user: AbstractBaseUser, django_session: DjangoSession) -> LoginSession | None:
    """The login of `user` that `django_session` stands for, with its identity.

    None for one that has ended, or is another user's.
    """
    living = LoginSession.objects.filter(pk=pk, ended_at=None)
    row = living.select_related("identity__user").annotate(now=Now()).first()
    if row is None or row.identity.user_id != user.pk:
        return None
    # Projects give sessions new keys, after a change of the password for example.
    if row.now - row.last_seen_at > SEEN_INTERVAL or _key_of(row) != django_session.key:
        payload, expires_at = _seal(row.identity_id, django_session), from_now(django_session.lifetime)
        living.update(payload=payload, last_seen_at=Now(), expires_at=expires_at)
    return row


def hold_session(pk: int) -> bool:
    """Whether a login lives. If so, it goes on living until the caller's transaction ends."""
    return LoginSession.objects.select_for_update().filter(pk=pk, ended_at=None).exists()


def end_session(pk: int, reason: str, *, caller: audit.Caller = audit.NOBODY) -> bool:
    """End one login session; False if it had ended already."""
    return bool(end_sessions(Q(pk=pk), reason, caller=caller))


@retry_conflicts
def end_sessions(which: Q, reason: str, *, caller: audit.Caller = audit.NOBODY) -> int:
    """End the login sessions that `which` selects, and with each of them its Django session. Returns how many ended."""
    with transaction.atomic():
        living = LoginSession.objects.select_for_update().filter(which, ended_at=None).order_by("pk")
        keys = list(living.values_list("pk", flat=True))
        ending = LoginSession.objects.filter(pk__in=keys)
        # Expired besides: cleanup looks for those whose Django session was not to be deleted at once.
        ending.update(ended_at=Now(), expires_at=Now())
        ended = list(ending.select_related("identity__user"))
        for row in ended:
            detail = {"provider": row.identity.provider}
            audit.record(
                Kind.LOGOUT, Outcome.REVOKED, reason=reason, user=row.identity.user, caller=caller, detail=detail
            )
        transaction.on_commit(lambda: _forget(ended), robust=True)
    return len(ended)


def forget_ended_sessions(*, batch_size: int = BATCH_SIZE) -> int:
    """Delete login sessions whose Django session is over. Returns how many.

    Those of Django sessions that were prolonged meanwhile, by whatever page of the project, are kept for as long.
    """
    deleted, last = 0, 0
    due = LoginSession.objects.filter(expires_at__lte=Now())
    while batch := list(due.filter(pk__gt=last).order_by("pk")[:batch_size]):
        last = batch[-1].pk
        ended = [row for row in batch if row.ended_at is not None]
        prolonged = [row.pk for row in batch if row.ended_at is None and _is_in_store(row)]
        due.filter(pk__in=prolonged, ended_at=None).update(expires_at=from_now(settings.SESSION_COOKIE_AGE))
        over = [row.pk for row in batch if row.ended_at is None and row.pk not in prolonged]
        deleted += due.filter(pk__in=over).delete()[0] + _forget(ended)
    return deleted


def _forget(ended: Sequence[LoginSession]) -> int:
    forgotten = [row.pk for row in ended if _delete_django_session(row)]
    return LoginSession.objects.filter(pk__in=forgotten).delete()[0]


def _delete_django_session(row: LoginSession) -> bool:
    key = _key_of(row)
    try:
        if key:
            _store()(key).delete()
    except Exception:
        # Any store may be configured, and each fails in its own way. What is ours has ended all the same.
        logger.exception("a session could not be deleted; mcp_oidc_cleanup tries again")
        return False
    return True


def _is_in_store(row: LoginSession) -> bool:
    key = _key_of(row)
    try:
        return bool(key) and bool(_store()(key).load())
    except Exception:
        # A store that fails must not hold up the rest of a cleanup.
        logger.exception("a session could not be looked up; mcp_oidc_cleanup tries again")
        return True


def _store() -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore


def _seal(identity_id: int, django_session: DjangoSession) -> str:
    return encrypt(django_session.key, context=_context(identity_id))


def _key_of(row: LoginSession) -> str:
    try:
        return str(decrypt(row.payload, context=_context(row.identity_id)))
    except Undecryptable:
        return ""


def _context(identity_id: int) -> str:
    return f"login session {identity_id}"
