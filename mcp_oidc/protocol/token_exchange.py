"""Token exchange (RFC 8693), as far as we have it: one of our access tokens for one of the identity provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_oidc.errors import InvalidRequest, InvalidTarget
from mcp_oidc.protocol.scopes import parse_scope

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105  # the name of a grant type
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # the name of a type


@dataclass(frozen=True)
class ExchangeRequest:
    """A token request of RFC 8693 2.1. `audience` is the issuer of the identity provider, if it is named at all."""

    subject_token: str = field(repr=False)
    audience: str | None
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class ExchangedToken:
    """What is given for it (RFC 8693 2.2.1). `expires_in` is in seconds, and None where nobody knows."""

    access_token: str = field(repr=False)
    expires_in: int | None
    scope: str

    def as_dict(self) -> dict[str, Any]:
        """The body of the answer."""
        body: dict[str, Any] = {
            "access_token": self.access_token,
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
        }
        if self.expires_in is not None:
            body["expires_in"] = self.expires_in
        if self.scope:
            body["scope"] = self.scope
        return body


def parse_exchange(params: Mapping[str, str]) -> ExchangeRequest:
    """Read the parameters. Raises `InvalidRequest` and `InvalidTarget` for what this server does not exchange."""
    for name in ("subject_token", "subject_token_type"):
        if name not in params:
            raise InvalidRequest(f"The parameter {name} is missing.")
    if params["subject_token_type"] != ACCESS_TOKEN:
        raise InvalidRequest(f"The subject_token_type must be {ACCESS_TOKEN}.")
    if params.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        raise InvalidRequest(f"The requested_token_type must be {ACCESS_TOKEN}.")
    if "actor_token" in params or "actor_token_type" in params:
        raise InvalidRequest("This server knows no delegation: leave actor_token out.")
    if "resource" in params:
        # RFC 8693 2.1 gives it the URL of a service. Which of them take the provider's tokens only the provider knows.
        raise InvalidTarget("Tokens are exchanged for those of the identity provider only: leave resource out.")
    return ExchangeRequest(params["subject_token"], params.get("audience"), parse_scope(params.get("scope", "")))
