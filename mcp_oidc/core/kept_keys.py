"""Signing keys in the database: what each of them is for follows from the times at which they begin to sign."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from mcp_oidc.conf import app_settings
from mcp_oidc.core import audit
from mcp_oidc.core.clock import Now, from_now
from mcp_oidc.core.encryption import Undecryptable, decrypt, encrypt
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.models import SigningKey
from mcp_oidc.protocol.jwks import SigningJwk

# Seconds that a process goes on with the keys it read.
KEYS_MAX_AGE = 10
# Seconds that a key is kept beyond the end of its last token, in case that ACCESS_TOKEN_LIFETIME was longer before.
EXPIRED_KEY_LIFETIME = 24 * 60 * 60
# Seconds by which the clocks of servers may differ.
_LEEWAY = 60


class KeyState(StrEnum):
    """What a key is for. It is published in each of these states."""

    PUBLISHED = "published"
    SIGNING = "signing"
    VERIFYING = "verifying"
    EXPIRED = "expired"


@dataclass(frozen=True)
class KeptKey:
    """A key as it stood at `now`. Another one signs from `retires_at` on, if there is one."""

    row: SigningKey
    retires_at: datetime | None
    now: datetime

    @classmethod
    def of(cls, row: Any) -> KeptKey:
        """The key of a row that comes from `with_times`."""
        return cls(row, row.retires_at, row.now)

    @property
    def state(self) -> KeyState:
        if self.row.activates_at > self.now:
            return KeyState.PUBLISHED
        if self.retires_at is None or self.retires_at > self.now:
            return KeyState.SIGNING
        if self.expires_at is None or self.expires_at > self.now:
            return KeyState.VERIFYING
        return KeyState.EXPIRED

    @property
    def expires_at(self) -> datetime | None:
        """When its last token has expired: signed by a process that had read the keys just before it retired."""
        token_lifetime = KEYS_MAX_AGE + app_settings.ACCESS_TOKEN_LIFETIME + _LEEWAY
        return self.retires_at and self.retires_at + timedelta(seconds=token_lifetime)

    @property
    def deletable_at(self) -> datetime | None:
        """When nobody needs it any more."""
        return self.expires_at and self.expires_at + timedelta(seconds=EXPIRED_KEY_LIFETIME)

    @property
    def is_deletable(self) -> bool:
        return self.deletable_at is not None and self.deletable_at <= self.now


def kept_keys() -> list[KeptKey]:
    """The keys in the database, in the order in which they were made and sign."""
    return [KeptKey.of(row) for row in with_times(SigningKey.objects.order_by("pk"))]


def with_times(rows: QuerySet[SigningKey]) -> QuerySet[Any]:
    """`rows`, each with the database's time and with when a later one takes over from it, for `KeptKey.of`."""
    later = SigningKey.objects.filter(pk__gt=OuterRef("pk")).order_by("activates_at").values("activates_at")[:1]
    return rows.annotate(now=Now(), retires_at=Subquery(later))


def keep_key(key: SigningJwk, *, follows: str, delay: int) -> None:
    """Keep `key`, which signs in `delay` seconds, as the successor of the key with the id `follows`, together with its
    event. Raises `IntegrityError` where that one has a successor already.
    """
    SigningKey.objects.create(
        kid=key.kid,
        algorithm=key.algorithm,
        public_jwk=key.public,
        payload=encrypt(key.private, context=_context(key.kid)),
        follows=follows,
        created_at=Now(),
        activates_at=from_now(delay),
    )
    detail = {"kid": key.kid, "algorithm": key.algorithm, "signs_in_seconds": delay}
    audit.record(Kind.KEY_PUBLISHED, Outcome.ALLOWED, detail=detail)


def open_key(row: SigningKey) -> SigningJwk | None:
    """A key with its private half; None where nothing of ENCRYPTION_KEYS opens that."""
    try:
        members = decrypt(row.payload, context=_context(row.kid))
    except Undecryptable:
        return None
    return SigningJwk(row.kid, row.algorithm, members)


def _context(kid: str) -> str:
    return f"signing key {kid}"
