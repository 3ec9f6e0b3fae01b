"""Microsoft Entra: one issuer in the settings may stand for many tenants, each of which issues in its own name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from mcp_oidc.conf.upstream import EVERY_TENANT
from mcp_oidc.errors import ForeignAccount
from mcp_oidc.upstream.id_tokens import check_failed, peek
from mcp_oidc.upstream.provider import Provider
from mcp_oidc.upstream.signed_claims import KeyFinder

_TENANT = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_PLACEHOLDER = "{tenantid}"


class EntraProvider(Provider):
    """The tenant of ISSUER; or with TENANTS, those tenants behind the issuer `organizations` or `common`."""

    @property
    def announced_issuer(self) -> str:
        """With TENANTS a pattern, in which the tenant of each token takes the place of `{tenantid}`."""
        if not self.upstream.tenants:
            return super().announced_issuer
        return re.sub(r"/[^/]+/v2\.0/?\Z", f"/{_PLACEHOLDER}/v2.0", self.upstream.issuer)

    def is_issuer(self, issuer: str) -> bool:
        """Whether its tenant may log in. That is asked at logins and refreshes: one that has left is out."""
        if not self.upstream.tenants:
            return super().is_issuer(issuer)
        beginning, _, end = self.announced_issuer.partition(_PLACEHOLDER)
        found = re.fullmatch(f"{re.escape(beginning)}({_TENANT}){re.escape(end)}", issuer)
        return found is not None and self._is_member(found[1])

    def issuer_for(self, id_token: str) -> str:
        """The issuer of the tenant that the token names in `tid`."""
        if not self.upstream.tenants:
            return super().issuer_for(id_token)
        return self.announced_issuer.replace(_PLACEHOLDER, _tenant_of(peek(id_token)))

    def key_finder(self, issuer: str, *, is_unasked: bool = False) -> KeyFinder:
        """One that takes only keys which sign for this issuer: those of another tenant are in the same set."""
        return partial(self._keys.find, issuer=issuer, is_unasked=is_unasked)

    def require_member(self, claims: Mapping[str, Any]) -> None:
        """The tenant has to be one of TENANTS."""
        if self.upstream.tenants and not self._is_member(tenant := _tenant_of(claims)):
            raise ForeignAccount(str(check_failed("tid", f"TENANTS does not hold {tenant}")))

    def _is_member(self, tenant: str) -> bool:
        return tenant in self.upstream.tenants or EVERY_TENANT in self.upstream.tenants


def _tenant_of(claims: Mapping[str, Any]) -> str:
    tenant = claims.get("tid")
    if not isinstance(tenant, str) or not re.fullmatch(_TENANT, tenant):
        raise check_failed("tid", "not the id of a tenant")
    return tenant
