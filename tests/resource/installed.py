"""Which optional packages there are. No environment has all: django-mcp-server needs version 1 of the `mcp` SDK."""

from __future__ import annotations

from importlib.util import find_spec

# What a person installs, and the module by which it is known.
_MODULES = {
    "mcp 2": "mcp.server.mcpserver",
    "fastmcp": "fastmcp",
    "django-ninja": "ninja",
    "django-mcpz": "django_mcpz",
    "django-mcp-server": "mcp_server",
}


def is_installed(package: str) -> bool:
    """Whether `package`, one of the names above, can be imported."""
    try:
        return find_spec(_MODULES[package]) is not None
    except ModuleNotFoundError:
        return False
