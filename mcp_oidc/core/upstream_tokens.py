"""The IdP's token sets: kept encrypted, replaced by whoever holds the lease, never overwritten by an older one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime

from django.db.models import F, Q, QuerySet

from mcp_oidc.conf import app_settings
from mcp_oidc.core.clock import Now, from_now
from mcp_oidc.core.encryption import Undecryptable, decrypt, encrypt
from mcp_oidc.core.persistence import keep_trying
from mcp_oidc.errors import UpstreamLoginRequired
from mcp_oidc.models import Identity, IdpTokenSet

# Seconds for which it is tried to keep what a refresh brought, while the database does not take it.
KEEP_SECONDS = 10
# Besides the exchange with the provider and keeping what it brought.
_SPARE_SECONDS = 5
_DEFAULT_TIMEOUT = 10


@dataclass(frozen=True)
class IdpTokens:
    """The IdP's tokens of one user. `expires_at` is None where the IdP gave no lifetime."""

    access_token: str
    id_token: str | None = None
    refresh_token: str | None = None
    expires_at: datetime | None = None
    scopes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"IdpTokens(expires_at={self.expires_at}, scopes={self.scopes})"


@dataclass(frozen=True)
class StoredTokens:
    """A token set as it was read: with the version that a refresh replaces, and the database's time.

    `is_being_refreshed` tells that somebody held the lease at that moment.
    """

    # Of the row: versions begin anew where a set was dropped and another one is kept.
    key: int
    identity_id: int
    tokens: IdpTokens
    version: int
    obtained_at: datetime
    now: datetime
    is_being_refreshed: bool


def keep_tokens(identity: Identity, tokens: IdpTokens) -> None:
    """Keep the tokens of a login. A login that brings no refresh token does not cost the one that we have."""
    # No lock and one conditional UPDATE: logins in two browsers at once would end in a deadlock on MariaDB.
    while True:
        stored, is_new = IdpTokenSet.objects.get_or_create(identity=identity, defaults=_columns(identity.pk, tokens))
        same = IdpTokenSet.objects.filter(pk=stored.pk, version=stored.version)
        if is_new or _replace(same, identity.pk, _with_refresh_token(tokens, stored)):
            return


def read_tokens(identity_id: int) -> StoredTokens:
    """The tokens of an identity. Raises `UpstreamLoginRequired` where there are none that can be read."""
    row = IdpTokenSet.objects.annotate(now=Now()).filter(identity_id=identity_id).first()
    if row is None:
        raise UpstreamLoginRequired("The user has no tokens of the identity provider.")
    is_leased = row.lease_expires_at is not None and row.lease_expires_at > row.now
    return StoredTokens(row.pk, identity_id, _open(row), row.version, row.obtained_at, row.now, is_leased)


def has_usable_tokens(identity_id: int) -> bool:
    """Whether there are tokens that have not expired, or can be refreshed."""
    try:
        stored = read_tokens(identity_id)
    except UpstreamLoginRequired:
        return False
    expires_at = stored.tokens.expires_at
    return stored.tokens.refresh_token is not None or expires_at is None or expires_at > stored.now


def lease_seconds() -> int:
    """For how long a refresh may go on. Longer than it can take, so that a lease outlives only a process that died."""
    upstream = app_settings.UPSTREAM
    return (upstream.timeout if upstream is not None else _DEFAULT_TIMEOUT) + KEEP_SECONDS + _SPARE_SECONDS


def take_lease(stored: StoredTokens) -> bool:
    """Become the one who refreshes these tokens. False while somebody else is at it, or when it has been done."""
    free = Q(lease_expires_at=None) | Q(lease_expires_at__lte=Now())
    return bool(_row_of(stored).filter(free).update(lease_expires_at=from_now(lease_seconds())))


def release_lease(stored: StoredTokens) -> None:
    """Give up after a refresh that failed, so that the next caller need not wait."""
    _row_of(stored).update(lease_expires_at=None)


def replace_tokens(old: StoredTokens, tokens: IdpTokens) -> None:
    """Put refreshed tokens in the place of `old`.

    A newer set, of a login meanwhile, is left alone. If it has its refresh token from `old`, though, it gets the one
    that the provider gave for that. While the database does not take it, this is tried again for KEEP_SECONDS: nobody
    else knows a refresh token that has just been rotated.
    """
    keep_trying(lambda: _replace_or_pass_on(old, tokens), seconds=KEEP_SECONDS)


def forget_tokens(refused: StoredTokens) -> bool:
    """Drop a token set that the IdP refused. False if that is not what is kept: a login meanwhile brought a newer."""
    return bool(_row_of(refused).delete()[0])


def drop_tokens(ended: StoredTokens) -> None:
    """Drop a token set whose refresh token we have ended. One of a login meanwhile stays without that refresh token."""
    if not _row_of(ended).delete()[0]:
        _pass_on(ended, None)


def _row_of(stored: StoredTokens) -> QuerySet[IdpTokenSet]:
    return IdpTokenSet.objects.filter(pk=stored.key, version=stored.version)


def _replace_or_pass_on(old: StoredTokens, tokens: IdpTokens) -> None:
    if not _replace(_row_of(old), old.identity_id, tokens) and tokens.refresh_token != old.tokens.refresh_token:
        _pass_on(old, tokens.refresh_token)


def _pass_on(old: StoredTokens, refresh_token: str | None) -> None:
    """Give newer tokens, if they took the refresh token of `old` over, the one that has taken its place."""
    while (row := IdpTokenSet.objects.filter(pk=old.key).first()) is not None:
        newer = _open(row)
        if newer.refresh_token != old.tokens.refresh_token:
            return
        same = IdpTokenSet.objects.filter(pk=row.pk, version=row.version)
        if _replace(same, row.identity_id, replace(newer, refresh_token=refresh_token)):
            return


def _replace(row: QuerySet[IdpTokenSet], identity_id: int, tokens: IdpTokens) -> bool:
    return bool(row.update(**_columns(identity_id, tokens), version=F("version") + 1, lease_expires_at=None))


def _columns(identity_id: int, tokens: IdpTokens) -> dict[str, object]:
    values = {**asdict(tokens), "expires_at": tokens.expires_at and tokens.expires_at.isoformat()}
    return {
        "payload": encrypt(values, context=_context(identity_id)),
        "scopes": " ".join(tokens.scopes),
        "has_refresh_token": tokens.refresh_token is not None,
        "obtained_at": Now(),
        "expires_at": tokens.expires_at,
    }


def _with_refresh_token(tokens: IdpTokens, stored: IdpTokenSet) -> IdpTokens:
    if tokens.refresh_token is not None:
        return tokens
    try:
        return replace(tokens, refresh_token=_open(stored).refresh_token)
    except UpstreamLoginRequired:
        # The login that it asks for is the one that is under way.
        return tokens


def _open(row: IdpTokenSet) -> IdpTokens:
    try:
        values = decrypt(row.payload, context=_context(row.identity_id))
    except Undecryptable:
        raise UpstreamLoginRequired("The tokens of the identity provider cannot be decrypted any more.") from None
    expires_at = values.pop("expires_at")
    return IdpTokens(
        **{**values, "scopes": tuple(values["scopes"])},
        expires_at=datetime.fromisoformat(expires_at) if expires_at else None,
    )


def _context(identity_id: int) -> str:
    return f"IdP tokens {identity_id}"
