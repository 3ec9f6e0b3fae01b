"""Documents that others publish, metadata and keys: kept in the process, and served stale in an outage."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

from mcp_oidc.errors import OAuthError, UpstreamError, UpstreamUnavailable

logger = logging.getLogger("mcp_oidc.upstream")

T = TypeVar("T")

MAX_AGE = 600.0
# From this age on it is fetched anew beside the requests, so that on a busy server none of them waits for it.
RENEW_AGE = 0.8 * MAX_AGE
# However long an outage lasts: a key that was withdrawn must not be good for ever.
MAX_STALE = 24 * 3600.0
# Seconds in which a failure is not tried again: enough that an outage is not a flood, and short enough to end with it.
FAILURE_PAUSE = 3.0
# Seconds after which a fetch has nobody waiting for it any more but the one who does it.
PATIENCE = 2.0
_NEVER = float("-inf")


@dataclass(frozen=True)
class DocumentState:
    """What this process knows of a document, without asking anybody. Ages are in seconds."""

    # None where it has not been fetched.
    age: float | None
    # Since the last fetch that failed, None where none has.
    failed_ago: float | None
    # Why it failed; empty once a later one has succeeded.
    failure: str


class CachedDocument(Generic[T]):
    """What `fetch` returned last. One thread at a time fetches; meanwhile the others go on with what there is."""

    def __init__(self, fetch: Callable[[], T]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        # While a fetch is under way.
        self._began_at: float | None = None
        self._value: T | None = None
        self._fetched_at = _NEVER
        self._failure: UpstreamError | None = None
        self._failed_at = _NEVER
        self._forced_at: dict[str, float] = {}

    def get(self) -> T:
        """The document, at most MAX_AGE seconds old unless a newer one cannot be had.

        Raises what `fetch` raised, an `UpstreamError`, where there is none at all.
        """
        if not self._is_kept():
            self._renew_here(patience=self._patience())
        elif self._age() >= MAX_AGE and self._failure is None:
            self._renew_here(patience=0)
        elif self._is_due():
            self._renew_aside()
        return self._kept()

    def get_newer(self, known: T, *, cooldown: float, asker: str = "") -> T:
        """A newer document than `known`, which lacks something, or `known` itself within `cooldown` of the last look.

        `cooldown` is in seconds, each `asker` has its own. Raises what `fetch` raised, an `UpstreamError`, where none
        can be had: that something is missing is no more than a guess then.
        """
        if not self._lock.acquire(timeout=self._patience()):
            raise self._told_again()
        try:
            # Where another thread has fetched one meanwhile, that is it.
            forced_at = self._forced_at.get(asker, _NEVER)
            is_allowed = monotonic() - forced_at >= cooldown and not self._has_just_failed()
            if self._value is known and is_allowed and self._renew():
                self._forced_at[asker] = monotonic()
        finally:
            self._lock.release()
        if self._value is known and self._failure is not None:
            raise self._told_again()
        return self._kept()

    @property
    def state(self) -> DocumentState:
        """What is known of it now."""
        failure = self._failure
        return DocumentState(
            age=None if self._value is None else self._age(),
            failed_ago=None if self._failed_at == _NEVER else monotonic() - self._failed_at,
            failure="" if failure is None else str(failure),
        )

    def _age(self) -> float:
        return monotonic() - self._fetched_at

    def _is_kept(self) -> bool:
        return self._value is not None and self._age() < MAX_STALE

    def _is_due(self) -> bool:
        return self._age() >= RENEW_AGE and not self._has_just_failed()

    def _has_just_failed(self) -> bool:
        return monotonic() - self._failed_at < FAILURE_PAUSE

    def _patience(self) -> float:
        # Whoever comes late does not wait for it: a server that hangs would hold all of them.
        began_at = self._began_at
        return PATIENCE if began_at is None else max(began_at + PATIENCE - monotonic(), 0)

    def _renew_here(self, *, patience: float) -> None:
        if not self._lock.acquire(timeout=patience):
            return
        try:
            if self._is_due():
                self._renew()
        finally:
            self._lock.release()

    def _renew_aside(self) -> None:
        if not self._lock.acquire(blocking=False):
            return
        try:
            threading.Thread(target=self._renew_and_release, name="mcp_oidc-renewal", daemon=True).start()
        except RuntimeError:
            # No thread is to be had now. The next caller tries again.
            self._lock.release()

    def _renew_and_release(self) -> None:
        try:
            if self._is_due():
                self._renew()
        except OAuthError as error:
            # We fetch too much already. The next caller begins another thread.
            logger.info("a document was not fetched again: %s", error)
        finally:
            self._lock.release()

    def _renew(self) -> bool:
        self._began_at = monotonic()
        try:
            self._value = self._fetch()
        except UpstreamError as error:
            self._failure, self._failed_at = error, monotonic()
            logger.warning("a document could not be fetched: %s", error)
            return False
        finally:
            self._began_at = None
        self._failure, self._fetched_at = None, monotonic()
        return True

    def _kept(self) -> T:
        if self._value is None or not self._is_kept():
            raise self._told_again()
        return self._value

    def _told_again(self) -> UpstreamError:
        # What the last try said. A new instance, because several threads may raise it at once.
        failure = self._failure or UpstreamUnavailable("a document is being fetched, and that takes long")
        return type(failure)(str(failure))
