"""Resources: which protected endpoint a request is about, and what a token for it carries."""

from __future__ import annotations

from mcp_oidc.conf import Resource, app_settings
from mcp_oidc.errors import InvalidTarget
from mcp_oidc.protocol.scopes import granted_scopes


def find_resource(identifier: str | None, issuer: str) -> Resource:
    """The resource of this identifier; the first one for clients that send none.

    Raises `InvalidTarget` for one that is not ours (RFC 8707 2): exact, with no slash added or removed.
    """
    resources = app_settings.resources(issuer)
    if identifier is None:
        return resources[0]
    for resource in resources:
        if resource.identifier == identifier:
            return resource
    raise InvalidTarget("The resource is not one of this server's.")


def scopes_to_grant(asked: tuple[str, ...], resource: Resource) -> tuple[str, ...]:
    """What to ask the user to approve: known scopes among those asked for, and the resource's own.

    Unknown ones are dropped: clients ask for whatever they know from other servers.
    """
    return granted_scopes(asked, known=app_settings.scopes_for(resource), required=resource.scopes)
