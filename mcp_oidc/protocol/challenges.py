"""The `WWW-Authenticate` challenge of a protected resource (RFC 6750 3, RFC 9728 5.1)."""

from __future__ import annotations

import re

from mcp_oidc.errors import BearerError, InsufficientScope, InvalidRequest, MissingToken
from mcp_oidc.protocol.scopes import format_scope

# The case of the scheme alone is ignored: for a whole token that takes longer than all else that is done with it.
_BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/-]+=*) *")


def bearer_token(authorization: str | None) -> str:
    """The token in an `Authorization` header.

    Raises `MissingToken` where there is none, and `InvalidRequest` (a 400, RFC 6750 3.1) where the header is malformed.
    """
    if not authorization:
        raise MissingToken("This resource needs an access token.")
    if authorization.split(" ", 1)[0].lower() != "bearer":
        raise MissingToken("This resource takes bearer tokens only.")
    match = _BEARER.fullmatch(authorization)
    if match is None:
        raise InvalidRequest("The Authorization header is malformed.")
    return match[1]


def challenge_for(error: BearerError | InvalidRequest, *, metadata_url: str, scopes: tuple[str, ...]) -> str:
    """The whole challenge: what was wrong, where the metadata is, and the scopes that the resource needs."""
    params: dict[str, str] = {}
    # RFC 6750 3.1: a request without any credentials gets no error code.
    if not isinstance(error, MissingToken):
        params["error"] = error.code
        params["error_description"] = error.description
    needed = error.scopes if isinstance(error, InsufficientScope) else scopes
    if needed:
        params["scope"] = format_scope(needed)
    params["resource_metadata"] = metadata_url
    return "Bearer " + ", ".join(f'{name}="{_quotable(value)}"' for name, value in params.items() if value)


def _quotable(value: str) -> str:
    # RFC 6750 3: %x20-21 / %x23-5B / %x5D-7E, so nothing is left to escape.
    return re.sub(r"[^\x20\x21\x23-\x5b\x5d-\x7e]", "?", value)
