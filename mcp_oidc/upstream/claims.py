"""What the identity provider says of one login: the ID token's claims, completed from userinfo."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from mcp_oidc.errors import InvalidRequest, UpstreamError
from mcp_oidc.protocol.forms import parse_json_object
from mcp_oidc.upstream.http import MAX_BYTES

# Claims about the token and not about the user: they are checked, and then of no use to anybody. And where to get
# claims of others, with their access tokens (OpenID Connect Core 5.6.2), which are not to be stored in clear.
_NOT_KEPT = frozenset(
    {"aud", "azp", "exp", "iat", "nbf", "jti", "nonce", "at_hash", "c_hash", "s_hash", "sid", "_claim_sources"}
)
# Claims about the login itself, which only its ID token can make.
_OF_THE_LOGIN = frozenset({"iss", "sub", "auth_time", "acr", "amr"})


@dataclass(frozen=True)
class Authentication:
    """Who logged in, when, and in which session of the provider's own (its `sid`, empty where it gave none).

    `issuer` is the one whose `sub` it is: that of the provider, or one of several that it stands for.
    """

    issuer: str
    claims: Mapping[str, Any] = field(repr=False)
    authenticated_at: datetime
    idp_session: str = ""


def describe_login(id_token: Mapping[str, Any], userinfo: Mapping[str, Any] | None) -> Authentication:
    """The login that a verified ID token tells of. `userinfo` is None where there is none.

    Userinfo adds what the ID token leaves out, but overrides nothing, and says nothing about the login itself. Of the
    e-mail address, it may say that it is verified only if it names the same. Nulls count as left out.

    Raises `UpstreamError` if userinfo is somebody else's, or holds what no database stores.
    """
    userinfo = userinfo if userinfo is not None else {"sub": id_token["sub"]}
    # OpenID Connect Core 5.3.2: else it must not be used.
    if userinfo.get("sub") != id_token["sub"]:
        raise UpstreamError("userinfo failed the check of sub: it is somebody else's")
    added = {name: value for name, value in userinfo.items() if name not in _OF_THE_LOGIN}
    claims = {**added, **_without_nulls(id_token), **_email(id_token, userinfo)}
    session = id_token.get("sid")
    return Authentication(
        issuer=str(id_token["iss"]),
        claims=_storable({name: value for name, value in claims.items() if name not in _NOT_KEPT}),
        authenticated_at=_moment(id_token.get("auth_time")),
        idp_session=session if isinstance(session, str) else "",
    )


def _email(id_token: Mapping[str, Any], userinfo: Mapping[str, Any]) -> dict[str, Any]:
    email = id_token.get("email") or userinfo.get("email")
    if not email:
        return {}
    # The two may name different addresses, and a word that one is verified says nothing about the other.
    about_it = [source for source in (id_token, userinfo) if source.get("email") == email]
    words = [source["email_verified"] for source in about_it if "email_verified" in source]
    # A string at Amazon Cognito, where "false" must not pass for true.
    return {"email": email, "email_verified": bool(words) and all(word in (True, "true") for word in words)}


def _without_nulls(claims: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if value is not None}


def _storable(claims: Mapping[str, Any]) -> dict[str, Any]:
    try:
        # PostgreSQL takes no NUL and no lone surrogate, and what nests without end is not a claim.
        return parse_json_object(json.dumps(claims).encode(), max_bytes=MAX_BYTES)
    except (InvalidRequest, ValueError):
        raise UpstreamError("the claims of the identity provider hold what cannot be stored") from None


def _moment(auth_time: object) -> datetime:
    now = timezone.now()
    if isinstance(auth_time, bool) or not isinstance(auth_time, int | float):
        return now
    try:
        moment = datetime.fromtimestamp(auth_time, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return now
    # A login of the future would count as recent for ever.
    return min(moment if settings.USE_TZ else timezone.make_naive(moment), now)
