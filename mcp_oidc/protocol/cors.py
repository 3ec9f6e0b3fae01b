"""Cross-origin requests of browsers (Fetch, "CORS protocol"): what an answer says to them, the same at every door."""

from __future__ import annotations

from collections.abc import Collection

# For public documents. Never for what a cookie opens, and none of our endpoints takes one from another origin.
ANY_ORIGIN = frozenset({"*"})

# What a browser may send: OAuth, MCP's transport up to 2025-11-25, and the routing headers of 2026-07-28.
ALLOWED_REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Accept",
    "MCP-Protocol-Version",
    "Mcp-Session-Id",
    "Mcp-Method",
    "Mcp-Name",
    "Last-Event-ID",
)
ALLOWED_METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS")

# What a script may read: without these it sees neither the challenge nor its session.
EXPOSED_RESPONSE_HEADERS = ("WWW-Authenticate", "Mcp-Session-Id")

# Seconds that a browser may remember the answer to a preflight.
PREFLIGHT_MAX_AGE = 600


def response_headers(origin: str | None, allowed: Collection[str], *, is_preflight: bool) -> dict[str, str]:
    """The headers for an answer to a page of `origin`: none at all where it is not `allowed`."""
    if allowed == ANY_ORIGIN:
        headers = {"Access-Control-Allow-Origin": "*"}
    elif origin is not None and origin in allowed:
        headers = {"Access-Control-Allow-Origin": origin}
    else:
        return {}
    if not is_preflight:
        return {**headers, "Access-Control-Expose-Headers": ", ".join(EXPOSED_RESPONSE_HEADERS)}
    return {
        **headers,
        "Access-Control-Allow-Methods": ", ".join(ALLOWED_METHODS),
        "Access-Control-Allow-Headers": ", ".join(ALLOWED_REQUEST_HEADERS),
        "Access-Control-Max-Age": str(PREFLIGHT_MAX_AGE),
    }
