"""Google: whoever has a Google account could log in, and only a claim tells whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp_oidc.errors import ForeignAccount
from mcp_oidc.upstream.id_tokens import check_failed
from mcp_oidc.upstream.provider import Provider

_ANY_DOMAIN = "*"


class GoogleProvider(Provider):
    """Google. With `hd` among AUTH_PARAMS, only accounts of that domain, or of any domain if it is `*`."""

    def authorization_url(self, *, prompt: str = "", **request: Any) -> str:
        """As of any provider. Google knows no `prompt=login` and shows an error; choosing an account is the nearest.

        A consent that AUTH_PARAMS asks for is asked for all the same: without it there is no refresh token.
        """
        prompt = "select_account" if prompt == "login" else prompt
        if prompt == "select_account" and "consent" in self.upstream.auth_params.get("prompt", "").split():
            prompt = "select_account consent"
        return super().authorization_url(prompt=prompt, **request)

    def require_member(self, claims: Mapping[str, Any]) -> None:
        """The parameter only preselects an account, and browsers can take it away: the claim decides."""
        wanted, domain = self.upstream.auth_params.get("hd"), claims.get("hd")
        if not wanted or (domain and wanted == _ANY_DOMAIN):
            return
        if not isinstance(domain, str) or domain.lower() != wanted.lower():
            raise ForeignAccount(str(check_failed("hd", "an account of another domain, or of none")))
