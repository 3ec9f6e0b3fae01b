"""Auth0: a provider like others, except for whom our signature has to name."""

from __future__ import annotations

from mcp_oidc.upstream.provider import Provider


class Auth0Provider(Provider):
    """Auth0."""

    @property
    def client_assertion_audience(self) -> str:
        """Auth0 takes a `private_key_jwt` for its issuer, and none for its token endpoint."""
        return self.upstream.issuer
