"""The principal of the request at hand, for code that is not handed the request: tools, above all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mcp_oidc.core.verification import Principal

current_principal: ContextVar[Principal | None] = ContextVar("mcp_oidc_principal", default=None)


def get_principal() -> Principal:
    """Who calls. Raises `LookupError` outside a call that our decorator, mixin or ASGI middleware let through.

    Inside tools of the `mcp` SDK it works with and without sessions, and in synchronous tools too: the SDK runs each
    message in the context of the request that brought it.
    """
    principal = current_principal.get()
    if principal is None:
        raise LookupError(
            "There is no current principal. Protect the endpoint with mcp_oidc.resource.asgi.BearerMiddleware, "
            "mcp_oidc.resource.mcp_sdk.protect or mcp_oidc.resource.decorators.protect; a DRF view has it as "
            "request.auth."
        )
    return principal


@contextmanager
def acting_for(principal: Principal) -> Iterator[None]:
    """Make `principal` the current one for the body of a `with` statement, and not for whatever follows."""
    token = current_principal.set(principal)
    try:
        yield
    finally:
        current_principal.reset(token)
