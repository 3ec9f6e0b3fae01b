"""The MCP endpoint at `/mcp`: made with the official SDK, protected by one line."""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import MCPServer

from mcp_oidc.resource.context import get_principal
from mcp_oidc.resource.idp_tokens import get_idp_tokens
from mcp_oidc.resource.mcp_sdk import protect, tool_errors, transport_security
from mcp_oidc.resource.workers import fresh_connections
from mcp_oidc.upstream.provider import get_provider
from sample_project.models import Note

server = MCPServer("mcp_oidc sample", instructions="Tools that act for the user who is logged in.")

# The tools are plain functions, which the SDK runs in threads. There is no request of Django's around them, so each
# looks after its database connection itself.


@server.tool()
def whoami() -> dict[str, Any]:
    """Who is calling: the user, the client, the scopes, and what the identity provider said of the user."""
    principal = get_principal()
    with fresh_connections():
        return {
            "user": principal.user.get_username(),
            "client": principal.client_id,
            "scopes": list(principal.scopes),
            "claims": principal.identity.claims if principal.identity else {},
        }


@server.tool()
def profile() -> dict[str, Any]:
    """What the identity provider's userinfo says right now, asked with the user's own token."""
    provider = get_provider()
    if provider is None:
        return {"error": "Users log in at this server itself: there is no identity provider to ask."}
    with tool_errors():
        return provider.userinfo(get_idp_tokens().access_token) or {"error": "This provider has no userinfo."}


@server.tool()
def list_notes() -> list[str]:
    """The user's notes."""
    with fresh_connections():
        notes = Note.objects.filter(user_id=get_principal().user_id).order_by("pk")
        return [note.text for note in notes]


@server.tool()
def add_note(text: str) -> str:
    """Add a note. Needs the scope notes:write, see TOOL_SCOPES in the settings."""
    with fresh_connections():
        Note.objects.create(user_id=get_principal().user_id, text=text)
    return "Noted."


# Host and Origin are checked against our own settings: the SDK's default is loopback only.
mcp_app = protect(server.streamable_http_app(transport_security=transport_security()))
