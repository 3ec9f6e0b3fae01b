"""The principal of the request at hand, for code that is not handed the request: tools, above all."""

from __future__ import annotations

from contextlib import AbstractContextManager
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


def acting_for(principal: Principal) -> AbstractContextManager[None]:
    """Make `principal` the current one for the body of a `with` statement, and not for whatever follows."""
    return _Acting(principal)


class _Acting:
    """By hand: `contextmanager` takes several times as long, and each request needs one."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    def __enter__(self) -> None:
        self._token = current_principal.set(self._principal)

    def __exit__(self, *failure: object) -> None:
        current_principal.reset(self._token)
