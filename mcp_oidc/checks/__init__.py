"""System checks: whatever is forgotten or wrong has an ID of its own, and a hint that holds the line to write.

They read settings only, never the database or the network. `manage.py check --tag mcp_oidc` runs them alone.

E0xx: not installed as it must be. E1xx: a value of MCP_OIDC. W2xx: works, but not well. W3xx: for `check --deploy`.
"""

from mcp_oidc.checks import databases, deployment, installation, values

__all__ = ["databases", "deployment", "installation", "values"]
