"""What the issuer says of a token right now (RFC 7662), for `RemoteVerifier`: remembered for seconds. Plain Python."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

from mcp_oidc.errors import InvalidRequest, TemporarilyUnavailable
from mcp_oidc.protocol.forms import parse_json_object
from mcp_oidc.resource.remote_http import Http
from mcp_oidc.resource.remote_memory import Remembered

logger = logging.getLogger("mcp_oidc.resource")

# Answers that one verifier remembers: two megabytes or so.
MAX_REMEMBERED = 10_000


class _NoAnswer(Exception):
    """The issuer did not say whether a token is active; the message says why, and holds nothing of what was sent."""


class Introspection:
    """Asks the issuer as the resource server that `headers` prove. Share one object among all threads."""

    def __init__(self, headers: Mapping[str, str], *, cache_seconds: float, http: Http) -> None:
        self._headers = headers
        self._cache_seconds = cache_seconds
        self._answers: Remembered[bool] = Remembered(MAX_REMEMBERED)
        self._http = http
        self._probe = threading.Lock()
        self._is_down = False

    def is_active(self, token: str, *, endpoint: str | None, expires_at: int) -> bool:
        """Whether the issuer takes the token; its answer is at most as old as the cache allows.

        Raises `TemporarilyUnavailable` while the issuer does not say.
        """
        answer = self._answers.find(token)
        if answer is None:
            asked_at = time.monotonic()
            answer = self._ask(token, endpoint)
            # From the moment of the question: it may have been answered long before it arrived.
            until = asked_at + min(self._cache_seconds, expires_at - time.time())
            self._answers.keep(token, answer, until=until)
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


def _unavailable() -> TemporarilyUnavailable:
    return TemporarilyUnavailable("The access token cannot be verified right now.")
