"""Revocation at the identity provider: when somebody's last connection has ended, our refresh token there ends too.

It is done beside whatever ended the connection, and never in its way. What fails or is lost is made up for by
`mcp_oidc_cleanup`, but for the tokens of users who were deleted, and for those that an operator has dropped: nothing is
left of them to try again with.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from mcp_oidc.conf import app_settings
from mcp_oidc.core.abandoned_tokens import (
    abandoned_tokens,
    connections_ended,
    has_abandoned_tokens,
    tokens_deleted,
)
from mcp_oidc.core.upstream_tokens import drop_tokens, read_tokens, release_lease, take_lease
from mcp_oidc.errors import UpstreamError, UpstreamLoginRequired, UpstreamRefused
from mcp_oidc.upstream.errands import Errands
from mcp_oidc.upstream.provider import Provider, get_provider
from mcp_oidc.upstream.refresh import provider_of

logger = logging.getLogger("mcp_oidc.upstream")

# Identities that wait for their turn, of thousands whose connections end at once.
MAX_WAITING = 10_000


@dataclass(frozen=True)
class _Orphan:
    """A refresh token that is not kept any more."""

    provider: str
    issuer: str
    refresh_token: str = field(repr=False)


def watch_endings() -> None:
    """Hear of connections that end, and of tokens that are deleted."""
    connections_ended.connect(_note_endings, dispatch_uid="mcp_oidc.note_endings")
    tokens_deleted.connect(_note_orphan, dispatch_uid="mcp_oidc.note_orphan")


def revoke_abandoned_tokens() -> int:
    """Revoke and drop all tokens that no connection needs any more. Returns how many.

    It stops where the provider does not answer, and goes on the next time.
    """
    if app_settings.UPSTREAM is None:
        return 0
    dropped = 0
    for identity_id in abandoned_tokens():
        try:
            dropped += _revoke(identity_id)
        except UpstreamError as error:
            logger.warning("refresh tokens could not be revoked at the identity provider: %s", error)
            break
    return dropped


def wait_for_revocations(timeout: float) -> bool:
    """Wait until the provider has been told of all that ended. False if `timeout`, in seconds, was too short."""
    return _errands.wait(timeout)


def _note_endings(sender: object, identity_ids: set[int], **kwargs: object) -> None:
    if app_settings.UPSTREAM is not None:
        for identity_id in identity_ids:
            _errands.send(identity_id)


def _note_orphan(sender: object, provider: str, issuer: str, refresh_token: str, **kwargs: object) -> None:
    if app_settings.UPSTREAM is not None:
        _errands.send(_Orphan(provider, issuer, refresh_token))


def _run(errand: int | _Orphan) -> bool:
    try:
        if isinstance(errand, _Orphan):
            _revoke_orphan(errand)
        else:
            _revoke(errand)
    except UpstreamError as error:
        # Thousands may wait, and each would wait for the time-out.
        _errands.call_off()
        logger.warning("a refresh token could not be revoked at the identity provider: %s", error)
        return False
    except Exception:
        # Whatever it was, this thread has others to look after.
        logger.warning("a refresh token could not be revoked at the identity provider", exc_info=True)
        return False
    return True


def _revoke(identity_id: int) -> bool:
    if not has_abandoned_tokens(identity_id):
        return False
    try:
        stored = read_tokens(identity_id)
        if stored.tokens.refresh_token is None:
            drop_tokens(stored)
            return True
        provider = provider_of(stored)
    except UpstreamLoginRequired:
        # They cannot be read with the secrets of today, or are those of another provider.
        return False
    if not take_lease(stored):
        # Whoever is refreshing them brings newer ones.
        return False
    try:
        _tell(provider, stored.tokens.refresh_token)
    except UpstreamError:
        release_lease(stored)
        raise
    drop_tokens(stored)
    return True


def _revoke_orphan(orphan: _Orphan) -> None:
    provider = get_provider()
    if provider is not None and provider.upstream.name == orphan.provider and provider.is_issuer(orphan.issuer):
        _tell(provider, orphan.refresh_token)


def _tell(provider: Provider, refresh_token: str) -> None:
    try:
        provider.revoke(refresh_token)
    except UpstreamRefused as error:
        if error.is_about_us:
            # With the right secret it will take it.
            raise
        # It will not take it the next time either.
        logger.warning("the identity provider does not revoke a refresh token: %s", error)


_errands: Errands[int | _Orphan] = Errands(_run, name="mcp_oidc-idp-revocation", threads=1, room=MAX_WAITING)
