"""The signing keys at a glance: which one signs, since when, and whether its rotation is due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import ImproperlyConfigured

from mcp_oidc.conf import app_settings
from mcp_oidc.core.kept_keys import KeptKey, KeyState, kept_keys, open_key
from mcp_oidc.core.keys import configured_keys

# How often keys ought to be rotated, as docs/keys.md says.
ROTATION = timedelta(days=7)
# A weekly job that comes a little late is no trouble.
_LENIENCE = timedelta(days=1)


@dataclass(frozen=True)
class KeyOverview:
    """The keys in use. Times are known of keys in the database only."""

    # Whether they come from JWKS.
    are_configured: bool
    # The ids of all that are published, the one that signs first.
    kids: tuple[str, ...] = ()
    # Why nothing can be signed; empty while it can.
    problem: str = ""
    signs_since: datetime | None = None
    # From when on a key that waits will sign.
    next_signs_at: datetime | None = None
    due_at: datetime | None = None
    # How long the rotation has been due; None while it is not, or has only just become so.
    overdue: timedelta | None = None


def read_keys() -> KeyOverview:
    """The keys as they are now: one query, or none with JWKS. None is made."""
    try:
        source = app_settings.JWKS
        if source is not None:
            return KeyOverview(are_configured=True, kids=tuple(key.kid for key in configured_keys(source)))
    except ImproperlyConfigured as error:
        return KeyOverview(are_configured=True, problem=str(error))
    return _of(kept_keys())


def _of(kept: list[KeptKey]) -> KeyOverview:
    signing = next((each for each in kept if each.state == KeyState.SIGNING), None)
    if signing is None:
        return KeyOverview(are_configured=False, kids=tuple(each.row.kid for each in kept))
    waiting = next((each for each in kept if each.state == KeyState.PUBLISHED), None)
    due_at = signing.row.activates_at + ROTATION
    late = signing.now - due_at
    others = [each.row.kid for each in kept if each is not signing]
    return KeyOverview(
        are_configured=False,
        kids=(signing.row.kid, *others),
        problem="" if open_key(signing.row) else "undecryptable",
        signs_since=signing.row.activates_at,
        next_signs_at=waiting.row.activates_at if waiting else None,
        due_at=due_at,
        overdue=late if late > _LENIENCE and waiting is None else None,
    )
