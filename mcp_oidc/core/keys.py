"""The keys that sign our tokens: from JWKS where it is set, else kept in the database and shared by all processes."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, InterfaceError, OperationalError, transaction

from mcp_oidc.conf import app_settings
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.kept_keys import KEYS_MAX_AGE, KeyState, keep_key, kept_keys, open_key
from mcp_oidc.core.outages import tell_outage
from mcp_oidc.errors import TemporarilyUnavailable
from mcp_oidc.models import SigningKey
from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk, parse_private_jwks

logger = logging.getLogger("mcp_oidc")

DEFAULT_ALGORITHM = "RS256"
# The least time between two looks for an unknown key, in seconds.
UNKNOWN_KEY_COOLDOWN = 1


@dataclass(frozen=True)
class KeyRing:
    """All keys that are published. The first signs."""

    keys: tuple[SigningJwk, ...]
    read_at: float

    @property
    def signing(self) -> SigningJwk:
        """The key that signs. Raises `TemporarilyUnavailable` where its private half cannot be read."""
        key = self.keys[0]
        if not key.is_private:
            raise _unavailable(
                f"The signing key {key.kid} cannot be decrypted. Add the SECRET_KEY that was in use when it was made "
                "to SECRET_KEY_FALLBACKS (or to ENCRYPTION_KEYS, where that is set), or make a new key: "
                "python manage.py mcp_oidc_rotate_keys --now"
            )
        return key

    def find(self, kid: str) -> SigningJwk | None:
        return next((key for key in self.keys if key.kid == kid), None)


class UnknownKey(Exception):
    """Whether there is such a key has to be looked up."""


class _Cache:
    """The ring that this process read last. Keys are no secret of one request: every thread may use them."""

    def __init__(self) -> None:
        self.ring: KeyRing | None = None
        # With the value of JWKS that it was made of.
        self.configured: tuple[object, KeyRing] | None = None
        self.lock = threading.Lock()

    def get(self, *, max_age: float) -> KeyRing:
        ring = self.ring
        if ring is not None and time.monotonic() - ring.read_at < max_age:
            return ring
        with self.lock:
            newer = self.ring
            # Where another thread has read them meanwhile, those are it.
            if newer is None or newer is ring:
                newer = self.ring = _read_again(newer)
            return newer


_cache = _Cache()


def key_ring(*, max_age: float = KEYS_MAX_AGE) -> KeyRing:
    """The keys, made if there is none yet. Raises `TemporarilyUnavailable` where there are none that can be used; the
    log has the way out.
    """
    ring = _present_ring(max_age)
    if not ring.keys:
        _make_first_key()
        forget_keys()
        ring = _present_ring(max_age)
    if not ring.keys:
        raise _unavailable("The first signing key was made by a transaction that this one does not see.")
    return ring


def find_key(kid: str) -> SigningJwk | None:
    """The published key of this id. A key that another process has just made is looked for, at a bounded rate.

    None is made here: a project's own transaction may be rolled back after it. Raises as `key_ring` does.
    """
    return _present_ring(KEYS_MAX_AGE).find(kid) or _present_ring(UNKNOWN_KEY_COOLDOWN).find(kid)


def find_known_key(kid: str) -> SigningJwk:
    """The published key of this id, where nobody has to wait for it. Raises `UnknownKey` where somebody has to."""
    ring = _cache.ring
    if app_settings.JWKS is not None:
        ring = _present_ring(KEYS_MAX_AGE)
    elif ring is not None and time.monotonic() - ring.read_at >= KEYS_MAX_AGE:
        ring = None
    key = ring.find(kid) if ring is not None else None
    if key is None:
        raise UnknownKey
    return key


def forget_keys() -> None:
    """Read the keys again at the next use, and tell again what is wrong with them."""
    _cache.ring = _cache.configured = None
    _tell.cache_clear()


def configured_keys(source: str | Mapping[str, Any]) -> tuple[SigningJwk, ...]:
    """The keys of JWKS. Raises `ImproperlyConfigured` with the way out, and without anything of a key."""
    try:
        return _parse(source if isinstance(source, str) else json.dumps(source, default=str))
    except (ValueError, TypeError, RecursionError) as error:
        reason = error if type(error) is ValueError else "The JWK Set is not JSON."
        raise ImproperlyConfigured(
            f"MCP_OIDC['JWKS'] cannot be used: {reason} `python manage.py generate_jwks` prints one that can."
        ) from None


@lru_cache(maxsize=4)
def _parse(source: str) -> tuple[SigningJwk, ...]:
    return parse_private_jwks(source)


def _present_ring(max_age: float) -> KeyRing:
    try:
        source = app_settings.JWKS
        return _cache.get(max_age=max_age) if source is None else _configured_ring(source)
    except ImproperlyConfigured as error:
        raise _unavailable(str(error)) from None


def _configured_ring(source: str | Mapping[str, Any]) -> KeyRing:
    ring = _cache.configured
    # A dict is not turned into text for each token.
    if ring is None or ring[0] is not source:
        ring = _cache.configured = source, KeyRing(configured_keys(source), 0)
    return ring[1]


def _read_again(known: KeyRing | None) -> KeyRing:
    try:
        return KeyRing(_database_keys(known), time.monotonic())
    except (OperationalError, InterfaceError) as error:
        if known is None:
            raise
        # Whatever needs the database fails by itself. What is published goes on being so.
        tell_outage(error)
        return replace(known, read_at=time.monotonic())


def _database_keys(known: KeyRing | None) -> tuple[SigningJwk, ...]:
    kept = kept_keys()
    # None is due where the database's clock was put back.
    signing = next((each for each in kept if each.state == KeyState.SIGNING), kept[0] if kept else None)
    # The one that signs first, whatever their order in time.
    ordered = sorted(kept, key=lambda each: each is not signing)
    return tuple(_jwk_of(each.row, known, signs=each is signing) for each in ordered)


def _jwk_of(row: SigningKey, known: KeyRing | None, *, signs: bool) -> SigningJwk:
    # Its public half is all that verifying needs, and it survives the loss of the SECRET_KEY that encrypted the other.
    public = SigningJwk(row.kid, row.algorithm, row.public_jwk)
    jwk = (open_key(row) or public) if signs else public
    found = known.find(row.kid) if known is not None else None
    # Parsing an RSA key takes longer than many signatures, so the object that has done so is kept.
    return found if found == jwk else jwk


@retry_conflicts
def _make_first_key() -> None:
    key = generate_jwk(DEFAULT_ALGORITHM)
    try:
        with transaction.atomic():
            # Making an RSA key takes a while.
            if not kept_keys():
                keep_key(key, follows="", delay=0)
    except IntegrityError:
        # Another process was first: its key is ours too.
        return


def _unavailable(reason: str) -> TemporarilyUnavailable:
    # Once a minute, however many requests meet it.
    _tell(reason, int(time.monotonic() // 60))
    return TemporarilyUnavailable("The server has no key that it can use; its log says why.")


@lru_cache(maxsize=4)
def _tell(reason: str, minute: int) -> None:
    logger.error("%s", reason)
