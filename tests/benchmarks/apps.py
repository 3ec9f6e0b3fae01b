"""The ASGI applications that are measured: CONTENDER says which of them `app` is. All say the same."""

from __future__ import annotations

import os
from typing import Any

BODY = b"{}"
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"2")],
}


async def unguarded(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send(START)
        await send({"type": "http.response.body", "body": BODY})


def guarded() -> Any:
    import django

    django.setup()
    from mcp_oidc.resource.asgi import BearerMiddleware

    return BearerMiddleware(unguarded)


def dot() -> Any:
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def fastmcp() -> Any:
    """What FastMCP puts before its own endpoint."""
    from fastmcp.server.auth import JWTVerifier
    from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
    from starlette.middleware.authentication import AuthenticationMiddleware

    verifier = JWTVerifier(
        public_key=os.environ["PUBLIC_KEY"], issuer="http://127.0.0.1", audience="http://127.0.0.1/mcp"
    )
    return AuthenticationMiddleware(RequireAuthMiddleware(unguarded, []), backend=BearerAuthBackend(verifier))


app = {"unguarded": lambda: unguarded, "guarded": guarded, "dot": dot, "fastmcp": fastmcp}[os.environ["CONTENDER"]]()
