"""The user's tokens at the identity provider, for tools that call upstream APIs in the user's name.

Where they cannot be had, `UpstreamLoginRequired` is raised, and what becomes of it depends on who sees it:

- behind `protect`, `ProtectedMixin`, `BearerMiddleware` and (with our exception handler) DRF it is a 401 whose
  challenge makes the client send its user through the login again;
- inside a tool of the `mcp` SDK it is an error of that tool in an HTTP 200, because the SDK has accepted the request by
  then and catches what a tool raises, and FastMCP and django-mcpz do the same. No client logs in again because of it,
  and the model is told only that the tool failed; `with tool_errors():` of our module for each around the call at
  least lets it tell the user why.
"""

from __future__ import annotations

from mcp_oidc.core.upstream_tokens import IdpTokens
from mcp_oidc.core.verification import Principal
from mcp_oidc.errors import UpstreamLoginRequired
from mcp_oidc.resource.context import get_principal
from mcp_oidc.resource.workers import fresh_connections, upstream_workers
from mcp_oidc.upstream.refresh import fresh_tokens


def get_idp_tokens(source: object = None) -> IdpTokens:
    """The IdP's tokens of the user behind `source`, refreshed if they have expired.

    `source` is a principal, a Django or DRF request, the access token of the `mcp` SDK or FastMCP, or None for the
    current principal.
    Raises `UpstreamLoginRequired` where only a new login brings tokens, `UpstreamUnavailable` while the IdP does not
    answer, `LookupError` where nobody is logged in. May wait for the IdP: from async code, use `aget_idp_tokens`.
    """
    identity_id = _identity_of(source)
    # Called from a tool's thread there is no request cycle that would look after the connection.
    with fresh_connections():
        return fresh_tokens(identity_id)


async def aget_idp_tokens(source: object = None) -> IdpTokens:
    """`get_idp_tokens` for async code. Raises `TemporarilyUnavailable` too, when too many wait for the IdP."""
    identity_id = _identity_of(source)
    return await upstream_workers.run(lambda: fresh_tokens(identity_id))


def _identity_of(source: object) -> int:
    principal = _principal_of(source)
    if principal.identity_id is None:
        raise UpstreamLoginRequired("The user has no identity at the identity provider.")
    return principal.identity_id


def _principal_of(source: object) -> Principal:
    if source is None:
        return get_principal()
    principal = source if isinstance(source, Principal) else getattr(source, "principal", None)
    if not isinstance(principal, Principal):
        raise LookupError(
            f"This {type(source).__name__} carries no principal: it did not pass an entry point of mcp_oidc.resource."
        )
    return principal
