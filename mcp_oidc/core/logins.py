"""Logins under way at the IdP: each belongs to the browser that began it, is used once, and ends after ten minutes."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field
from typing import Any

from mcp_oidc.core.batches import BATCH_SIZE, delete_in_batches
from mcp_oidc.core.clock import Now, from_now
from mcp_oidc.core.encryption import Undecryptable, decrypt, encrypt, hash_secret, is_secret
from mcp_oidc.models import LoginAttempt

LOGIN_LIFETIME = 600


@dataclass(frozen=True)
class PendingLogin:
    """What has to be remembered until the user comes back from the IdP."""

    provider: str
    nonce: str = field(repr=False)
    code_verifier: str = field(repr=False)
    # Path and query on this server: often a whole authorization request.
    next_url: str = field(repr=False)
    max_age: int | None


@dataclass(frozen=True)
class LoginTicket:
    """`state` goes to the IdP and comes back; `browser_secret` stays in a cookie of the browser."""

    state: str = field(repr=False)
    browser_secret: str = field(repr=False)


def begin_login(pending: PendingLogin) -> LoginTicket:
    """Remember a login and return what proves it later."""
    ticket = LoginTicket(state=secrets.token_urlsafe(32), browser_secret=secrets.token_urlsafe(32))
    state_hash = hash_secret(ticket.state)
    LoginAttempt.objects.create(
        state_hash=state_hash,
        browser_hash=hash_secret(ticket.browser_secret),
        provider=pending.provider,
        payload=encrypt(asdict(pending), context=_context(state_hash)),
        expires_at=from_now(LOGIN_LIFETIME),
    )
    return ticket


def take_login(state: str, browser_secret: str) -> PendingLogin | None:
    """Use a login up: what was remembered, or None if it is unknown, used, late, or of another browser.

    A wrong browser does not use it up, so that nobody can spoil the login of another.
    """
    state_hash = hash_secret(state)
    attempt = LoginAttempt.objects.filter(pk=state_hash, expires_at__gt=Now()).first()
    if attempt is None or not is_secret(browser_secret, attempt.browser_hash):
        return None
    # Deleting has one winner.
    deleted, _ = LoginAttempt.objects.filter(pk=state_hash).delete()
    return _open(attempt) if deleted else None


def forget_expired_logins(*, batch_size: int = BATCH_SIZE) -> int:
    """Delete the logins that were never finished. Returns how many."""
    return delete_in_batches(LoginAttempt.objects.filter(expires_at__lte=Now()), batch_size=batch_size)


def _open(attempt: LoginAttempt) -> PendingLogin | None:
    try:
        values: dict[str, Any] = decrypt(attempt.payload, context=_context(attempt.pk))
    except Undecryptable:
        return None
    return PendingLogin(**values)


def _context(state_hash: str) -> str:
    return f"login {state_hash}"
