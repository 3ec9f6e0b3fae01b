"""The admin. Clients are registered by DOT's admin, with the class that the server's defaults name."""

from mcp_oidc.admin import connections, consents, dashboard, events, hosts, identities, keys, sessions

__all__ = ["connections", "consents", "dashboard", "events", "hosts", "identities", "keys", "sessions"]
