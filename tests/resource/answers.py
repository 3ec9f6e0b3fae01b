"""What a protected endpoint of these tests answers."""

from __future__ import annotations

from typing import Any

from mcp_oidc.core.verification import Principal


def describe(principal: Principal, user_name: str) -> dict[str, Any]:
    """What every entry point answers once it lets a request through."""
    return {
        "user": user_name,
        "client": principal.client_id,
        "subject": principal.subject,
        "resource": principal.resource,
        "scopes": list(principal.scopes),
    }
