"""The user's access token at the identity provider, for `RemoteVerifier`, by token exchange (RFC 8693)."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from mcp_oidc.errors import InvalidRequest, InvalidToken, UpstreamLoginRequired, UpstreamUnavailable
from mcp_oidc.protocol.forms import parse_json_object
from mcp_oidc.protocol.scopes import parse_scope
from mcp_oidc.protocol.token_exchange import ACCESS_TOKEN, TOKEN_EXCHANGE
from mcp_oidc.resource.remote_http import BadRequest, Http
from mcp_oidc.resource.remote_memory import Remembered

logger = logging.getLogger("mcp_oidc.resource")

# Tokens that one verifier remembers: ten megabytes or so, as they are of one or two kilobytes.
MAX_REMEMBERED = 5_000
# Seconds before its end at which a token is exchanged anew, or a tenth of what it had left, if that is less: the issuer
# refreshes it then.
MARGIN = 60
# Seconds for which a token is good whose lifetime nobody tells.
UNKNOWN_LIFETIME = 300
# As much as the issuer takes from a provider.
_MAX_BYTES = 256 * 1024


@dataclass(frozen=True)
class RemoteIdpTokens:
    """The user's access token at the identity provider. `expires_at` is None where the provider gave no lifetime."""

    access_token: str = field(repr=False)
    expires_at: datetime | None
    scopes: tuple[str, ...]


class TokenExchange:
    """Exchanges tokens as the resource server that `headers` prove. Share one object among all threads."""

    def __init__(self, headers: Mapping[str, str], *, http: Http) -> None:
        self._headers = headers
        self._http = http
        self._tokens: Remembered[RemoteIdpTokens] = Remembered(MAX_REMEMBERED)

    def tokens_for(self, token: str, *, endpoint: str | None) -> RemoteIdpTokens:
        """The provider's token for an access token that came to us.

        Raises `UpstreamLoginRequired` where only a new login helps, `UpstreamUnavailable` where there is no answer or
        the issuer does not let us, and `InvalidToken` for a token that is dead.
        """
        known = self._tokens.find(token)
        if known is not None:
            return known
        # Its lifetime begins before it arrives.
        asked_at = time.monotonic()
        document = self._ask(token, endpoint)
        tokens, seconds = _read(document)
        self._tokens.keep(token, tokens, until=asked_at + seconds - min(MARGIN, seconds / 10))
        return tokens

    def _ask(self, token: str, endpoint: str | None) -> dict[str, Any]:
        if endpoint is None:
            raise _unavailable("the issuer publishes no token endpoint at its own origin")
        form = {"grant_type": TOKEN_EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN}
        try:
            return parse_json_object(self._http(endpoint, form=form, headers=self._headers), max_bytes=_MAX_BYTES)
        except BadRequest as refusal:
            raise _refusal(refusal) from None
        except PermissionError:
            raise _unavailable("the issuer refuses the client id and secret of this resource server") from None
        except OSError as error:
            raise _unavailable(type(error).__name__) from None
        except InvalidRequest:
            raise _unavailable("the answer is no JSON object") from None


def _read(document: Mapping[str, Any]) -> tuple[RemoteIdpTokens, float]:
    """The tokens, and the seconds for which they may be used."""
    token, kind, seconds = (document.get(name) for name in ("access_token", "token_type", "expires_in"))
    # RFC 6749 7.1: a client must not use a token of a type that it does not know.
    is_bearer = isinstance(kind, str) and kind.lower() == "bearer"
    if not isinstance(token, str) or not is_bearer or document.get("issued_token_type") != ACCESS_TOKEN:
        raise _unavailable("the answer holds no access token")
    scope = document.get("scope")
    scopes = parse_scope(scope) if isinstance(scope, str) else ()
    if type(seconds) is not int or not 0 <= seconds <= 10**9:
        return RemoteIdpTokens(token, None, scopes), UNKNOWN_LIFETIME
    return RemoteIdpTokens(token, datetime.now(UTC) + timedelta(seconds=seconds), scopes), seconds


def _refusal(refusal: BadRequest) -> Exception:
    try:
        code = parse_json_object(refusal.body).get("error")
    except InvalidRequest:
        code = None
    if code == "login_required":
        return UpstreamLoginRequired("The user has to log in at the identity provider again.")
    if code == "invalid_request":
        # We wrote the rest of the request, so it is about the token (RFC 8693 2.2.2).
        return InvalidToken("The access token was revoked, or its user or client may no longer use it.")
    if code == "unauthorized_client":
        return _unavailable("the issuer does not let this resource server exchange tokens: an operator has to allow it")
    return _unavailable(f"the issuer answered {json.dumps(code)[:80]}")


def _unavailable(reason: str) -> UpstreamUnavailable:
    logger.warning("a token could not be exchanged: %s", reason)
    return UpstreamUnavailable(reason)
