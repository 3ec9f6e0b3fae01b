"""An MCP authorization server in front of the identity provider that a Django team already has."""

__version__ = "0.1.0"
