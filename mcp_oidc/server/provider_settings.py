"""Safe defaults for DOT, under whatever the project says in OAUTH2_PROVIDER: its own value wins."""

from __future__ import annotations

from oauth2_provider.settings import DEFAULTS

_UNUSED = "mcp_oidc.admin.unused.UnusedAdmin"

_OURS = {
    "OAUTH2_VALIDATOR_CLASS": "mcp_oidc.server.validator.ConnectionValidator",
    # DOT's admin registers these models; its token tables stay empty and are not shown.
    "APPLICATION_ADMIN_CLASS": "mcp_oidc.admin.clients.ClientAdmin",
    "ACCESS_TOKEN_ADMIN_CLASS": _UNUSED,
    "GRANT_ADMIN_CLASS": _UNUSED,
    "ID_TOKEN_ADMIN_CLASS": _UNUSED,
    "REFRESH_TOKEN_ADMIN_CLASS": _UNUSED,
    # RFC 9700, should a project mount views of DOT's beside ours.
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    # Redirect URIs are checked by protocol.uris. DOT's own list is one for all hosts, so http stays out of it.
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https"],
}


def install_defaults() -> None:
    """Put them in place, once, at start-up. DOT reads its DEFAULTS at first use of each setting."""
    DEFAULTS.update(_OURS)
