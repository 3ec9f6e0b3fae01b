"""The official `mcp` client, and messages as it sends them."""

from __future__ import annotations

from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from tests.resource.live import Live

# How a client speaks, and what a server is made with for it.
MODES: dict[str, tuple[str, dict[str, Any]]] = {
    "sessions": ("legacy", {}),
    "sessions, JSON answers": ("legacy", {"json_response": True}),
    "stateless": ("legacy", {"stateless_http": True}),
    "2026-07-28": ("2026-07-28", {}),
    "2026-07-28, JSON answers": ("2026-07-28", {"json_response": True}),
}

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "tests", "version": "1"},
    },
}
LIST_TOOLS = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}


async def call_tool(url: str, token: str, name: str, *, mode: str = "legacy") -> Any:
    """What a tool answers, by way of the client's whole handshake."""
    async with (
        create_mcp_http_client(headers={"Authorization": f"Bearer {token}"}) as http_client,
        Client(streamable_http_client(url, http_client=http_client), mode=mode) as client,
    ):
        return await client.call_tool(name)


def post(
    server: Live, token: str, message: Any, *, session: str = "", host: str = "", origin: str = ""
) -> httpx2.Response:
    """A message as an MCP client of the handshake era sends it."""
    headers = {
        "Authorization": f"Bearer {token}" if token else "",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-11-25",
        "Mcp-Session-Id": session,
        "Host": host,
        "Origin": origin,
    }
    return httpx2.post(server.resource, json=message, headers={name: value for name, value in headers.items() if value})
