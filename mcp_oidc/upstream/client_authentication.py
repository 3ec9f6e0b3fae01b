"""How we authenticate at the identity provider's token endpoint (RFC 6749 2.3.1, OpenID Connect Core 9, RFC 7523)."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from mcp_oidc.conf import Upstream
from mcp_oidc.errors import UpstreamError
from mcp_oidc.protocol.client_assertions import ASSERTION_TYPE
from mcp_oidc.protocol.jwts import sign_jwt
from mcp_oidc.upstream.client_key import parse_client_key
from mcp_oidc.upstream.discovery import ProviderMetadata

# Seconds: time enough for clocks that differ, and little for whoever finds one in a log.
ASSERTION_LIFETIME = 120


@dataclass(frozen=True)
class ClientAuthentication:
    """What goes into the header and the form of a request to the token endpoint, and to those beside it."""

    headers: dict[str, str] = field(repr=False)
    params: dict[str, str] = field(repr=False)


def authenticate_client(
    upstream: Upstream, metadata: ProviderMetadata, *, assertion_audience: str
) -> ClientAuthentication:
    """Our credentials, by CLIENT_AUTH or else by the best method that both sides have; good for one request.

    Raises `UpstreamError` where there is none: no secret is sent in a way that the provider does not know.
    """
    method = upstream.client_auth
    if method == "auto":
        method = _choose(upstream, metadata.auth_methods)
    if method == "private_key_jwt":
        return _private_key_jwt(upstream, metadata.auth_algorithms, assertion_audience)
    return _BY_SECRET[method](upstream.client_id, upstream.client_secret)


def _choose(upstream: Upstream, offered: Collection[str]) -> str:
    if upstream.client_key and "private_key_jwt" in offered:
        return "private_key_jwt"
    if not upstream.client_secret and not upstream.client_key:
        return "none"
    if upstream.client_secret:
        for method in ("client_secret_basic", "client_secret_post"):
            if method in offered:
                return method
    raise UpstreamError(
        f"the identity provider takes none of our credentials, but only {', '.join(offered)[:200]}: if it does take"
        " them, say how by MCP_OIDC['UPSTREAM']['CLIENT_AUTH']"
    )


def _basic(client_id: str, secret: str) -> ClientAuthentication:
    # RFC 6749 2.3.1: both are form-urlencoded first, so that a colon or an umlaut does no harm.
    credentials = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    header = "Basic " + base64.b64encode(credentials.encode("ascii")).decode("ascii")
    return ClientAuthentication(headers={"Authorization": header}, params={})


def _post(client_id: str, secret: str) -> ClientAuthentication:
    return ClientAuthentication(headers={}, params={"client_id": client_id, "client_secret": secret})


def _none(client_id: str, secret: str) -> ClientAuthentication:
    return ClientAuthentication(headers={}, params={"client_id": client_id})


_BY_SECRET = {"client_secret_basic": _basic, "client_secret_post": _post, "none": _none}


def _private_key_jwt(upstream: Upstream, algorithms: Collection[str], audience: str) -> ClientAuthentication:
    try:
        key = parse_client_key(upstream.client_key or {})
    except ValueError as error:
        raise UpstreamError(f"MCP_OIDC['UPSTREAM']['CLIENT_KEY'] cannot be used: {error}") from None
    signer = key.signer_for(algorithms)
    if signer is None:
        raise UpstreamError(
            f"the identity provider takes signatures by {', '.join(algorithms)[:200]}, but"
            f" MCP_OIDC['UPSTREAM']['CLIENT_KEY'] is for {' or '.join(key.algorithms)}"
        )
    assertion = sign_jwt(_claims(upstream.client_id, audience), signer, typ="JWT", named_by=key.named_by)
    # RFC 7521 4.2 would do without the client_id, but Microsoft Entra does not.
    params = {"client_id": upstream.client_id, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
    return ClientAuthentication(headers={}, params=params)


def _claims(client_id: str, audience: str) -> dict[str, Any]:
    now = int(time.time())
    # No nbf: a provider whose clock is behind would refuse it.
    return {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": secrets.token_urlsafe(32),
        "iat": now,
        "exp": now + ASSERTION_LIFETIME,
    }
