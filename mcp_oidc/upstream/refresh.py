"""Fresh IdP tokens for whoever asks: refreshed once, however many threads and processes ask at the same time."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import timedelta

from django.db import connections, transaction

from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.identities import find_identity
from mcp_oidc.core.outages import Teller
from mcp_oidc.core.revocation import revoke_identity
from mcp_oidc.core.upstream_tokens import (
    IdpTokens,
    StoredTokens,
    forget_tokens,
    lease_seconds,
    read_tokens,
    release_lease,
    replace_tokens,
    take_lease,
)
from mcp_oidc.errors import UpstreamError, UpstreamLoginRequired, UpstreamRefused, UpstreamUnavailable
from mcp_oidc.upstream.deadlines import NoThread, call_within
from mcp_oidc.upstream.id_tokens import require_same_user
from mcp_oidc.upstream.provider import Provider, get_provider
from mcp_oidc.upstream.vain_waits import VainWaits

logger = logging.getLogger("mcp_oidc.upstream")

# Tokens that expire sooner than this, or within a tenth of their lifetime, are refreshed.
MARGIN = timedelta(seconds=60)
# What access tokens are taken to live whose lifetime the provider does not tell, if they can be refreshed.
UNKNOWN_LIFETIME = timedelta(hours=1)
# For which somebody else's refresh is waited for: well beyond what answers take, and well within the time-out, because
# many calls of one user may wait, each in a thread of the server.
OVERDUE_SECONDS = 5.0
POLL_SECONDS = 0.1

# What says that this user has lost access, or has to log in again for it. RFC 6749 5.2 has the first one only; policies
# of Okta and Auth0 say access_denied, and Entra and Auth0 ask for the person in words of OpenID Connect Core 3.1.2.6.
# Whatever else a provider answers may be our own fault, as the same words with 401 are, and ends nothing.
_ENDINGS = frozenset(
    {"invalid_grant", "access_denied", "interaction_required", "login_required", "consent_required", "mfa_required"}
)

_teller = Teller()
_vain = VainWaits()


class NotRenewable(UpstreamLoginRequired):
    """There is nothing to renew these tokens with: no refresh token, or not of the provider of today."""


def fresh_tokens(identity_id: int) -> IdpTokens:
    """The IdP's tokens of an identity, refreshed if they are about to expire.

    Raises `UpstreamLoginRequired` where only a new login helps, and `UpstreamUnavailable` where the provider gives no
    usable answer and the tokens at hand have expired. Where the provider has ended the refresh token, every connection
    of the identity ends. An outage ends none.
    """
    stored = read_tokens(identity_id)
    if not _is_due(stored):
        return stored.tokens
    if _is_in_transaction():
        return _apart(identity_id)
    return _fresh(stored)


def renew_tokens(stored: StoredTokens) -> IdpTokens:
    """What the provider gives for a token set now, by us or by whoever is at it. Call it outside of a transaction.

    Raises `NotRenewable` where it cannot be asked, `UpstreamLoginRequired` where it has ended the refresh token, with
    which every connection of the identity ends, and `UpstreamError` where it gives no usable answer.
    """
    provider = provider_of(stored)
    if not take_lease(stored):
        return _wait(stored)
    return _refresh(provider, stored)


def provider_of(stored: StoredTokens) -> Provider:
    """The provider that gave these tokens, ready to be asked. Raises `NotRenewable` and `UpstreamError`."""
    if stored.tokens.refresh_token is None:
        raise NotRenewable("The tokens have expired and there is no refresh token.")
    provider, identity = get_provider(), find_identity(stored.identity_id)
    # A refresh token must never go to a provider that did not issue it.
    if provider is None or identity is None:
        raise NotRenewable("There is no identity provider for these tokens any more.")
    if identity.provider != provider.upstream.name or not provider.is_issuer(identity.issuer):
        raise NotRenewable("The tokens are those of another identity provider.")
    # Its metadata is fetched now, if at all: the lease is long enough for one request and no more.
    provider.prepare()
    return provider


def _is_due(stored: StoredTokens) -> bool:
    expires_at = stored.tokens.expires_at
    if expires_at is None:
        return stored.tokens.refresh_token is not None and stored.now - stored.obtained_at >= UNKNOWN_LIFETIME
    return expires_at - stored.now <= min(MARGIN, (expires_at - stored.obtained_at) / 10)


def _is_in_transaction() -> bool:
    # The lease would lock its row all the while, and a rollback lose a refresh token that the provider has rotated. On
    # SQLite the transaction has the one lock for writing, and another connection would wait for its end.
    connection = transaction.get_connection()
    return bool(connection.in_atomic_block and connection.vendor != "sqlite")


def _apart(identity_id: int) -> IdpTokens:
    def on_another_connection() -> IdpTokens:
        try:
            return _fresh(read_tokens(identity_id))
        finally:
            connections.close_all()

    try:
        # The metadata may have to be fetched before the tokens.
        return call_within(2 * lease_seconds(), on_another_connection, name="mcp_oidc-refresh")
    except (TimeoutError, NoThread):
        raise UpstreamUnavailable("the tokens could not be refreshed apart from a transaction") from None


def _fresh(stored: StoredTokens) -> IdpTokens:
    if not _is_due(stored):
        return stored.tokens
    try:
        return renew_tokens(stored)
    except (UpstreamError, NotRenewable) as error:
        return _last_resort(stored, error)


def _refresh(provider: Provider, stored: StoredTokens) -> IdpTokens:
    try:
        tokens = _ask(provider, stored.tokens)
    except Exception as error:
        if isinstance(error, UpstreamRefused) and error.code in _ENDINGS and not error.is_about_us:
            _forget(stored)
            # A login meanwhile has brought newer ones; else this raises UpstreamLoginRequired.
            return read_tokens(stored.identity_id).tokens
        level = logging.WARNING if _teller.is_due() else logging.DEBUG
        logger.log(level, "tokens of the identity provider could not be refreshed: %s", error)
        release_lease(stored)
        raise
    replace_tokens(stored, tokens)
    _vain.forget(stored.identity_id)
    return tokens


def _ask(provider: Provider, old: IdpTokens) -> IdpTokens:
    assert old.refresh_token is not None  # noqa: S101  # provider_of looked
    new = provider.refresh(old.refresh_token)
    if new.id_token and old.id_token:
        require_same_user(new.id_token, old.id_token)
    return replace(
        new,
        id_token=new.id_token or old.id_token,
        # RFC 6749 6: without a new one the old one stays good.
        refresh_token=new.refresh_token or old.refresh_token,
    )


@retry_conflicts
def _forget(refused: StoredTokens) -> None:
    with transaction.atomic():
        # Only if it is still those that the provider has refused.
        if forget_tokens(refused):
            logger.info("the identity provider has ended a refresh token")
            revoke_identity(refused.identity_id, "idp_refused")


def _wait(stored: StoredTokens) -> IdpTokens:
    deadline = time.monotonic() + (0 if _vain.is_noted(stored.identity_id) else OVERDUE_SECONDS)
    while True:
        latest = read_tokens(stored.identity_id)
        if (latest.key, latest.version) != (stored.key, stored.version):
            _vain.forget(stored.identity_id)
            return latest.tokens
        if not latest.is_being_refreshed:
            # Whoever was at it has failed. Trying again here would turn one time-out into fifty.
            raise UpstreamUnavailable("another refresh of the same tokens did not succeed")
        if time.monotonic() >= deadline:
            _vain.note(stored.identity_id)
            raise UpstreamUnavailable("another refresh of the same tokens takes too long")
        time.sleep(POLL_SECONDS)


def _last_resort(stored: StoredTokens, error: UpstreamError | NotRenewable) -> IdpTokens:
    expires_at = stored.tokens.expires_at
    if expires_at is None or expires_at > stored.now:
        return stored.tokens
    if isinstance(error, NotRenewable):
        raise error
    # Whatever is wrong between the provider and us, to the tool that asked it is an outage.
    raise UpstreamUnavailable(str(error)) from error
