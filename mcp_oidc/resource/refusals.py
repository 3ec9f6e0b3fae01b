"""The answer to a call that is refused, for any framework to send. Plain Python."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from mcp_oidc.errors import (
    AccessDenied,
    BearerError,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    OAuthError,
    TemporarilyUnavailable,
    UpstreamLoginRequired,
    UpstreamUnavailable,
)
from mcp_oidc.protocol.challenges import challenge_for

logger = logging.getLogger("mcp_oidc.resource")

# What an entry point answers with a refusal, whether it came up here or in the code behind it.
Refusable = OAuthError | UpstreamLoginRequired | UpstreamUnavailable
REFUSABLE = (OAuthError, UpstreamLoginRequired, UpstreamUnavailable)


@dataclass(frozen=True)
class Refusal:
    """An answer without the protected thing in it. `reason` is for counting: the error's code, or `missing_token`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    reason: str


def make_refusal(error: Refusable, *, resource: str, metadata_url: str, scopes: tuple[str, ...]) -> Refusal:
    """The answer to a request for `resource` that ended in `error`. `scopes` are those that any call of it needs."""
    error = _in_terms_of_bearers(error, scopes)
    if error.log:
        level = logging.WARNING if error.status >= 500 else logging.INFO
        logger.log(level, "%s: %s", resource, error.log)
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    if isinstance(error, (BearerError, InvalidRequest)):
        headers["WWW-Authenticate"] = challenge_for(error, metadata_url=metadata_url, scopes=scopes)
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    # The first call of every client comes without a token, which is no trouble.
    reason = "missing_token" if isinstance(error, MissingToken) else error.code
    return Refusal(error.status, headers, json.dumps(error.as_dict()).encode(), reason)


def foreign_origin() -> AccessDenied:
    """For a page of another site, which reached us by DNS rebinding or without being allowed.

    MCP transports, "Streamable HTTP", security warning: servers must validate Origin and answer 403.
    """
    return AccessDenied("Pages of this origin may not call this server.", log="request of a foreign origin refused")


def _in_terms_of_bearers(error: Refusable, scopes: tuple[str, ...]) -> OAuthError:
    if isinstance(error, UpstreamLoginRequired):
        # The one answer that makes an MCP client send its user through the login again.
        return InvalidToken("The user has to log in at the identity provider again.")
    if isinstance(error, UpstreamUnavailable):
        return TemporarilyUnavailable("The identity provider does not answer.")
    if isinstance(error, InsufficientScope):
        # One challenge for all: a client that is stepped up twice in a row gives up.
        needed = tuple(dict.fromkeys([*scopes, *error.scopes]))
        return InsufficientScope(error.description, scopes=needed, log=error.log)
    return error
