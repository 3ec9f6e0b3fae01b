"""What an issuer publishes, for `RemoteVerifier`: its keys, and where to ask it. Plain Python."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError

from mcp_oidc.errors import InvalidRequest, TemporarilyUnavailable
from mcp_oidc.protocol.forms import parse_json_object
from mcp_oidc.protocol.jwks import SIGNING_ALGORITHMS, SigningJwk
from mcp_oidc.protocol.uris import origin_of
from mcp_oidc.resource.remote_http import Http

logger = logging.getLogger("mcp_oidc.resource")

# Seconds: how old keys may get, how often an unknown `kid` may make us look, how soon to try again without any keys.
KEYS_MAX_AGE = 600
UNKNOWN_KEY_COOLDOWN = 30
RETRY_COOLDOWN = 5
# Seconds after which a fetch of keys is known to hang.
LOOKING_SECONDS = 1.0

_ENDPOINTS = ("introspection_endpoint", "token_endpoint")


class PublishedKeys:
    """The issuer's keys as they were fetched last. While it is down the old ones stay good."""

    def __init__(self, issuer: str, http: Http) -> None:
        self._issuer = issuer
        self._http = http
        self._lock = threading.Lock()
        self._keys: Mapping[str, SigningJwk] = {}
        self._endpoints: Mapping[str, str | None] = {}
        self._tried_at = -float(KEYS_MAX_AGE)
        # When the fetch that is under way began.
        self._began_at: float | None = None
        self._is_down = False

    def endpoint(self, name: str) -> str | None:
        """Where the issuer takes questions, as it said with its keys. None for any place but its own origin."""
        return self._endpoints.get(name)

    def find(self, kid: str) -> SigningJwk | None:
        """The key of this id. Raises `TemporarilyUnavailable` where only the issuer, which is down, could tell."""
        # Whoever finds another thread at it goes on with the old keys, if there are any.
        self._refresh(after=KEYS_MAX_AGE, patience=0 if self._keys else -1)
        has_looked = kid in self._keys or self._refresh(after=UNKNOWN_KEY_COOLDOWN, patience=self._patience())
        key = self._keys.get(kid)
        if key is None and (self._is_down or not has_looked):
            # It may be a new key. A 401 would make the client throw a good token away.
            raise TemporarilyUnavailable("The access token cannot be verified right now.")
        return key

    def _patience(self) -> float:
        """Seconds that an unknown key may wait for a fetch that is under way: they end a second after it began.

        Anybody can make up such keys, and while the issuer hangs they would hold every thread of the server.
        """
        began_at = self._began_at
        return LOOKING_SECONDS if began_at is None else max(0.0, began_at + LOOKING_SECONDS - time.monotonic())

    def _refresh(self, *, after: float, patience: float) -> bool:
        """Fetch the keys if they are old enough. False: another thread is at it, and does not come to an end."""
        if not self._lock.acquire(timeout=patience):
            return False
        try:
            age = time.monotonic() - self._tried_at
            if age >= (RETRY_COOLDOWN if self._is_down else after):
                self._try_fetch()
        finally:
            self._lock.release()
        return True

    def _try_fetch(self) -> None:
        self._began_at = time.monotonic()
        try:
            self._fetch()
            self._is_down = False
        except (OSError, ValueError, TypeError, KeyError, InvalidRequest) as error:
            self._is_down = True
            logger.warning("the keys of %s could not be fetched: %s", self._issuer, type(error).__name__)
        self._tried_at = time.monotonic()
        self._began_at = None

    def _fetch(self) -> None:
        metadata = parse_json_object(self._http(_metadata_url(self._issuer)))
        # RFC 8414 3.3: a document of another issuer must not be used.
        if metadata["issuer"] != self._issuer:
            raise ValueError("the metadata is of another issuer")
        keys = [_parse_key(entry) for entry in parse_json_object(self._http(metadata["jwks_uri"]))["keys"]]
        found = {key.kid: key for key in keys if key is not None}
        if not found:
            raise ValueError("no key that can be used is published")
        self._keys = found
        self._endpoints = {name: _own_endpoint(metadata.get(name), self._issuer) for name in _ENDPOINTS}


def _metadata_url(issuer: str) -> str:
    # RFC 8414 3.1: inserted between host and path.
    return f"{origin_of(issuer)}/.well-known/oauth-authorization-server{urlsplit(issuer).path}"


def _own_endpoint(url: object, issuer: str) -> str | None:
    # Tokens and our secret go there: to nobody whom our configuration does not name.
    return url if isinstance(url, str) and origin_of(url) == origin_of(issuer) else None


def _parse_key(entry: Any) -> SigningJwk | None:
    # Keys that we do not know how to use are no reason to do without the others (RFC 7517 5).
    if not isinstance(entry, dict):
        return None
    kid, algorithm = entry.get("kid"), entry.get("alg")
    if not isinstance(kid, str) or algorithm not in SIGNING_ALGORITHMS or entry.get("use", "sig") != "sig":
        return None
    key = SigningJwk(kid, algorithm, entry)
    try:
        _ = key.key
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key
