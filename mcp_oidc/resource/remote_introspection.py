"""What the issuer says of a token right now (RFC 7662), for `RemoteVerifier`: remembered for seconds. Plain Python."""

from __future__ import annotations

import base64
import hashlib
import logging
import threading
import time
from urllib.parse import quote_plus

from mcp_oidc.errors import InvalidRequest, TemporarilyUnavailable
from mcp_oidc.protocol.forms import parse_json_object
from mcp_oidc.resource.remote_keys import Http

logger = logging.getLogger("mcp_oidc.resource")

# Answers that one verifier remembers: two megabytes or so.
MAX_REMEMBERED = 10_000


class _NoAnswer(Exception):
    """The issuer did not say whether a token is active; the message says why, and holds nothing of what was sent."""


class Introspection:
    """Asks the issuer as the resource server that `client_id` names. Share one object among all threads."""

    def __init__(self, client_id: str, client_secret: str, *, cache_seconds: float, http: Http) -> None:
        self._authorization = _basic(client_id, client_secret)
        self._answers = _Answers(cache_seconds)
        self._http = http
        self._probe = threading.Lock()
        self._is_down = False

    def is_active(self, token: str, *, endpoint: str | None, expires_at: int) -> bool:
        """Whether the issuer takes the token; its answer is at most as old as the cache allows.

        Raises `TemporarilyUnavailable` while the issuer does not say.
        """
        # By its hash, so that no token lies in memory longer than its request.
        key = hashlib.sha256(token.encode()).digest()
        answer = self._answers.find(key)
        if answer is None:
            asked_at = time.monotonic()
            answer = self._ask(token, endpoint)
            self._answers.keep(key, answer, asked_at=asked_at, expires_at=expires_at)
        return answer

    def _ask(self, token: str, endpoint: str | None) -> bool:
        if not self._is_down:
            return self._try(token, endpoint)
        # One thread at a time finds out whether it is still down: an issuer that hangs must not hold them all.
        if not self._probe.acquire(blocking=False):
            raise _unavailable()
        try:
            return self._try(token, endpoint)
        finally:
            self._probe.release()

    def _try(self, token: str, endpoint: str | None) -> bool:
        try:
            answer = self._send(token, endpoint)
        except _NoAnswer as reason:
            if not self._is_down:
                logger.warning("tokens cannot be introspected: %s", reason)
            self._is_down = True
            raise _unavailable() from None
        if self._is_down:
            logger.info("tokens can be introspected again")
        self._is_down = False
        return answer

    def _send(self, token: str, endpoint: str | None) -> bool:
        if endpoint is None:
            raise _NoAnswer("the issuer publishes no introspection endpoint at its own origin")
        form = {"token": token, "token_type_hint": "access_token"}
        try:
            document = parse_json_object(self._http(endpoint, form=form, headers=self._headers))
        except PermissionError:
            raise _NoAnswer("the issuer refuses the client id and secret of this resource server") from None
        except OSError as error:
            raise _NoAnswer(type(error).__name__) from None
        except InvalidRequest:
            raise _NoAnswer("the answer is no JSON object") from None
        active = document.get("active")
        if not isinstance(active, bool):
            raise _NoAnswer("the answer does not say whether the token is active")
        return active

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": self._authorization, "Accept": "application/json"}


class _Answers:
    """The answers of the last seconds. Where there are too many, the oldest is forgotten."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._kept: dict[bytes, tuple[bool, float]] = {}

    def find(self, key: bytes) -> bool | None:
        with self._lock:
            answer, until = self._kept.get(key, (None, 0.0))
        return answer if time.monotonic() < until else None

    def keep(self, key: bytes, answer: bool, *, asked_at: float, expires_at: int) -> None:
        # From the moment of the question: it may have been answered long before it arrived.
        until = asked_at + min(self._seconds, expires_at - time.time())
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (answer, until)
            if len(self._kept) > MAX_REMEMBERED:
                del self._kept[next(iter(self._kept))]


def _basic(client_id: str, client_secret: str) -> str:
    # RFC 6749 2.3.1: each of them form encoded first.
    credentials = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def _unavailable() -> TemporarilyUnavailable:
    return TemporarilyUnavailable("The access token cannot be verified right now.")
