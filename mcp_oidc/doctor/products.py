"""Whether the products that people use could connect, by what was found."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from socket import getaddrinfo
from typing import Any
from urllib.parse import urlsplit

from mcp_oidc.conf import app_settings
from mcp_oidc.doctor import documents, endpoints
from mcp_oidc.doctor.findings import Finding, Level

# Of the server's address as a whole.
ADDRESS = "address"
# What every client asks for.
_NEEDED = frozenset(
    {ADDRESS, documents.METADATA, documents.KEYS, documents.RESOURCE, endpoints.CHALLENGE}
    | {endpoints.AUTHORIZATION_HEADER, endpoints.TOKEN, endpoints.REGISTRATION, endpoints.LONG_URL}
)


@dataclass(frozen=True)
class Product:
    """What one needs besides. `is_hosted`: it calls from its maker's machines, and not from the user's."""

    name: str
    is_hosted: bool = False
    has_document: bool = False
    scheme: str = ""
    needs: Collection[str] = ()


PRODUCTS = (
    Product("Claude", is_hosted=True),
    Product("Claude Code", has_document=True),
    Product("ChatGPT", is_hosted=True, has_document=True),
    Product("Cursor", scheme="cursor"),
    Product("VS Code", has_document=True),
    Product("Windsurf", scheme="windsurf"),
    Product("mcp-remote"),
    Product("MCP Inspector", needs=(documents.OPENID, endpoints.PREFLIGHT)),
)


@dataclass(frozen=True)
class Verdict:
    """Whether a product could connect, and if not, why: by the names of checks, or in a sentence."""

    product: str
    reasons: tuple[str, ...]

    @property
    def can_connect(self) -> bool:
        return not self.reasons


def judge(issuer: str, metadata: Mapping[str, Any], findings: Collection[Finding]) -> tuple[Verdict, ...]:
    """A verdict for each product."""
    return tuple(Verdict(each.name, tuple(_reasons(each, issuer, metadata, findings))) for each in PRODUCTS)


def _reasons(
    product: Product, issuer: str, metadata: Mapping[str, Any], findings: Collection[Finding]
) -> Iterator[str]:
    needed = _NEEDED | set(product.needs)
    yield from dict.fromkeys(
        found.check
        for found in findings
        if found.check in needed
        and (found.level == Level.ERROR or (found.level == Level.WARNING and found.check in product.needs))
    )
    if product.is_hosted and not _is_public(issuer):
        yield f"It calls from the internet, where {urlsplit(issuer).hostname} is not to be reached."
    if not issuer.startswith("https://") and product.is_hosted:
        yield "It takes https only."
    if metadata and not _has_way_in(product, metadata):
        yield 'It has to register, and REGISTRATION does not let it: "REGISTRATION": "open" in MCP_OIDC.'
    if product.scheme and product.scheme not in app_settings.REDIRECT_SCHEMES:
        yield f'Its redirects need "{product.scheme}" in REDIRECT_SCHEMES.'


def _has_way_in(product: Product, metadata: Mapping[str, Any]) -> bool:
    if isinstance(metadata.get("registration_endpoint"), str):
        return True
    methods = metadata.get("token_endpoint_auth_methods_supported")
    by_document = metadata.get("client_id_metadata_document_supported") is True
    return product.has_document and by_document and isinstance(methods, list) and "none" in methods


def _is_public(issuer: str) -> bool:
    host = urlsplit(issuer).hostname or ""
    try:
        addresses = {str(entry[4][0]).partition("%")[0] for entry in getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        # A name that this machine does not know may be known elsewhere.
        return host != "localhost"
    return any(ipaddress.ip_address(address).is_global for address in addresses)
