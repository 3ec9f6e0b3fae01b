"""Rotation: a key is published before it signs, and the one before it goes on verifying until nobody needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import IntegrityError, transaction

from mcp_oidc.core import audit
from mcp_oidc.core.clock import Now
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.core.kept_keys import KeptKey, KeyState, keep_key, kept_keys, open_key
from mcp_oidc.core.keys import forget_keys
from mcp_oidc.models import SigningKey
from mcp_oidc.protocol.jwks import SigningJwk

T = TypeVar("T")

# Seconds that a key is published before it signs. Longer than anybody goes on with the keys that they know: our own
# processes, caches of /jwks on the way, and verifiers elsewhere.
LEAD = 60 * 60

# Of those that rotate at the same moment one succeeds, and the others look again.
_MAX_ATTEMPTS = 20


class _KeysChanged(Exception):
    """Another process has added a key while this one waited for it."""


def publish_key(key: SigningJwk, *, delay: int = LEAD) -> bool:
    """Publish `key`, and sign with it in `delay` seconds; at once where no other key can sign.

    False where another key is waiting for that already.
    """

    def publish(kept: list[KeptKey]) -> bool:
        if any(each.state == KeyState.PUBLISHED for each in kept):
            return False
        can_sign = any(each.state == KeyState.SIGNING and open_key(each.row) for each in kept)
        keep_key(key, follows=_last_kid(kept), delay=delay if can_sign else 0)
        return True

    return _in_turn(publish)


def save_key(key: SigningJwk) -> None:
    """Sign with `key` from now on; the one that signed until now goes on verifying.

    Servers elsewhere have not seen it yet, nor have other processes for KEYS_MAX_AGE: `publish_key` spares them that.
    """

    def take_over(kept: list[KeptKey]) -> None:
        # One that waits would take over again later. It has signed nothing, unless it has just become due.
        waiting = [each.row.pk for each in kept if each.state == KeyState.PUBLISHED]
        SigningKey.objects.filter(pk__in=waiting, activates_at__gt=Now()).delete()
        keep_key(key, follows=_last_kid([each for each in kept if each.row.pk not in waiting]), delay=0)

    _in_turn(take_over)


def replace_keys(key: SigningJwk) -> list[str]:
    """Sign with `key` from now on, and take no token any more that another one signed. Returns the ids of those."""

    def drop_others(kept: list[KeptKey]) -> list[str]:
        SigningKey.objects.all().delete()
        # Again the first of all: a process that has just found none, and makes one, must not put its own beside it.
        keep_key(key, follows="", delay=0)
        dropped = [each.row.kid for each in kept]
        audit.record(Kind.KEY_COMPROMISED, Outcome.REVOKED, detail={"kid": key.kid, "dropped": dropped})
        return dropped

    return _in_turn(drop_others)


def delete_expired_keys() -> int:
    """Delete keys that nobody needs any more. Returns how many."""
    expired = [each.row.pk for each in kept_keys() if each.is_deletable]
    return _delete_keys(expired)


@retry_conflicts
def _delete_keys(keys: list[int]) -> int:
    with transaction.atomic():
        # Locked, so that two cleanups at once tell of each key once.
        rows = SigningKey.objects.select_for_update().filter(pk__in=keys).order_by("pk")
        kids = list(rows.values_list("kid", flat=True))
        deleted, _ = SigningKey.objects.filter(kid__in=kids).delete()
        for kid in kids:
            audit.record(Kind.KEY_DELETED, Outcome.REVOKED, detail={"kid": kid})
    return deleted


def _in_turn(decide: Callable[[list[KeptKey]], T]) -> T:
    """What `decide` returns, given the keys as they are. It decides anew where another process has changed them."""
    for _ in range(_MAX_ATTEMPTS - 1):
        try:
            return _decide(decide)
        except (_KeysChanged, IntegrityError):
            continue
    return _decide(decide)


@retry_conflicts
def _decide(decide: Callable[[list[KeptKey]], T]) -> T:
    with transaction.atomic():
        locked = set(SigningKey.objects.select_for_update().order_by("pk").values_list("pk", flat=True))
        kept = kept_keys()
        # PostgreSQL shows to whoever waited for the lock no row that was added meanwhile. Where there is none yet, the
        # uniqueness of `follows` has to do.
        if {each.row.pk for each in kept} != locked:
            raise _KeysChanged
        result = decide(kept)
    forget_keys()
    return result


def _last_kid(kept: list[KeptKey]) -> str:
    return kept[-1].row.kid if kept else ""
