"""Logout tokens: everything that OpenID Connect Back-Channel Logout 1.0, section 2.6, has a relying party check."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from joserfc.jwk import Key

from mcp_oidc.core.idp_logout import IdpLogout
from mcp_oidc.upstream.provider import Provider
from mcp_oidc.upstream.signed_claims import (
    LEEWAY,
    failed,
    moment,
    read_signed,
    require_audience,
    require_current,
    require_issuer,
)

EVENT = "http://schemas.openid.net/event/backchannel-logout"
# Seconds. The specification has them expire after two minutes; an older one would end logins that it knew nothing of.
MAX_AGE = 600
# 2.4: `JWT` says as much as nothing. Whatever names another kind, such as an access token, is that.
_TYPES = frozenset({"logout+jwt", "application/logout+jwt", "jwt"})
_MAX_TOKEN_ID = 1000
_LOGOUT_TOKEN = "the logout token"  # noqa: S105  # what errors call it


def read_logout_token(text: str, provider: Provider) -> IdpLogout:
    """What a logout token of `provider` says. Raises `UpstreamUnavailable` while its keys cannot be fetched.

    Raises `UpstreamError` that names the failed check and holds nothing of the token.
    """
    issuer = provider.issuer_for(text)
    find_key = provider.key_finder(issuer, is_unasked=True)

    def key_for(header: Mapping[str, Any]) -> Key:
        # Before a key is looked for, which may cost a request: anybody may send anything here.
        _require_type(header)
        return find_key(header)

    # 2.6: the algorithms of ID tokens, and never `none`.
    claims, _ = read_signed(text, key_for, algorithms=provider.metadata.id_token_algorithms, document=_LOGOUT_TOKEN)
    require_issuer(claims, issuer, document=_LOGOUT_TOKEN)
    require_audience(claims, provider.upstream.client_id, document=_LOGOUT_TOKEN)
    forgotten_at = _require_time(claims)
    _require_event(claims)
    return IdpLogout(
        provider=provider.upstream.name,
        issuer=issuer,
        **_require_subject(claims),
        token_id=_require_token_id(claims),
        forgotten_at=forgotten_at,
    )


def _require_type(header: Mapping[str, Any]) -> None:
    if str(header.get("typ", "JWT")).lower() not in _TYPES:
        raise failed(_LOGOUT_TOKEN, "typ", "another kind of token")


def _require_time(claims: Mapping[str, Any]) -> int:
    issued_at = moment(claims, "iat", document=_LOGOUT_TOKEN)
    require_current(claims, document=_LOGOUT_TOKEN)
    if time.time() - issued_at > MAX_AGE + LEEWAY:
        raise failed(_LOGOUT_TOKEN, "iat", f"more than {MAX_AGE} seconds old")
    # 2.4 requires `exp`, but a draft did not, and providers in the field leave it out; the age is bounded all the same.
    expires_at = moment(claims, "exp", document=_LOGOUT_TOKEN) if "exp" in claims else issued_at + MAX_AGE
    return int(min(expires_at, issued_at + MAX_AGE)) + LEEWAY + 1


def _require_event(claims: Mapping[str, Any]) -> None:
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise failed(_LOGOUT_TOKEN, "events", "it tells of no logout")
    # An ID token must not pass for a logout token.
    if "nonce" in claims:
        raise failed(_LOGOUT_TOKEN, "nonce", "there is one")


def _require_subject(claims: Mapping[str, Any]) -> dict[str, str]:
    named = {name: claims.get(name, "") for name in ("sub", "sid")}
    for name, value in named.items():
        if not isinstance(value, str) or not value.isprintable() or (name in claims and not value):
            raise failed(_LOGOUT_TOKEN, name, "not a text")
    if not any(named.values()):
        raise failed(_LOGOUT_TOKEN, "sub", "neither sub nor sid is there")
    return named


def _require_token_id(claims: Mapping[str, Any]) -> str:
    token_id = claims.get("jti")
    if not isinstance(token_id, str) or not 0 < len(token_id) <= _MAX_TOKEN_ID:
        raise failed(_LOGOUT_TOKEN, "jti", "missing or not a short text")
    return token_id
