"""Settings: `MCP_OIDC` is the one dict that a project writes, and `app_settings` reads it at every access.

A wrong value raises `ImproperlyConfigured` here, and `checks` says the same before the server starts.
"""

from mcp_oidc.conf.issuers import configured_issuer, issuer_of
from mcp_oidc.conf.resources import Resource
from mcp_oidc.conf.settings import INSPECTOR_ORIGIN, Settings, app_settings
from mcp_oidc.conf.upstream import Upstream

__all__ = ["INSPECTOR_ORIGIN", "Resource", "Settings", "Upstream", "app_settings", "configured_issuer", "issuer_of"]
