"""Back-channel logout: the identity provider itself tells who was logged out there."""

from __future__ import annotations

import logging

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.idp_logout import log_out
from mcp_oidc.errors import InvalidRequest, NotFound, TemporarilyUnavailable, UpstreamError, UpstreamUnavailable
from mcp_oidc.upstream.logout_tokens import read_logout_token
from mcp_oidc.upstream.provider import get_provider

logger = logging.getLogger("mcp_oidc.upstream")


def accept_logout(logout_token: str, *, caller: Caller) -> None:
    """End what the token says has ended.

    Raises `InvalidRequest` for a token that fails a check or was used before, `TemporarilyUnavailable` while the
    provider's keys cannot be fetched, which uses nothing up, and `NotFound` without an UPSTREAM.
    """
    provider = get_provider()
    if provider is None:
        raise NotFound("There is no identity provider.")
    try:
        logout = read_logout_token(logout_token, provider)
    except UpstreamUnavailable as error:
        raise TemporarilyUnavailable("The keys of the identity provider cannot be fetched.", log=str(error)) from None
    except UpstreamError as error:
        logger.warning("a logout was refused: %s", error)
        raise InvalidRequest("The logout token could not be verified.") from None
    if not log_out(logout, spares_connections=provider.upstream.logout_spares_connections, caller=caller):
        logger.warning("a logout was refused: the logout token was used before")
        raise InvalidRequest("The logout token was used before.")
