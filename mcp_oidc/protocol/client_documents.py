"""Client ID Metadata Documents (draft-ietf-oauth-client-id-metadata-document): the client id is a URL, and says it all.

A document is written for every server that there is, so what this one cannot use is passed over, where registration
would refuse it, as long as enough is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from mcp_oidc.errors import InvalidClientMetadata, InvalidRedirectUri
from mcp_oidc.protocol.client_keys import check_client_jwks, check_jwks_uri
from mcp_oidc.protocol.client_metadata import ClientMetadata, parse_client_metadata
from mcp_oidc.protocol.uris import check_redirect_uri, check_web_uri

# Draft 4.1: no shared secret, since the document is public and nobody could be told one.
AUTH_METHODS = ("none", "private_key_jwt")
MAX_URL_LENGTH = 255
_SHARED_SECRETS = re.compile(r"client_secret_.*")
_DOT_SEGMENT = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
# What may be missing or wrong without harm.
_OPTIONAL = (
    "client_name",
    "client_uri",
    "logo_uri",
    "tos_uri",
    "policy_uri",
    "contacts",
    "scope",
    "software_id",
    "software_version",
    "application_type",
)


@dataclass(frozen=True, kw_only=True)
class ClientDocument(ClientMetadata):
    """What a client says of itself in its document. `auth_methods` holds the one that it prefers first."""

    client_id: str
    auth_methods: tuple[str, ...]

    @property
    def host(self) -> str:
        """The host that the document is at: alone of all that it says, this is proven."""
        return urlsplit(self.client_id).hostname or ""

    def as_dict(self) -> dict[str, Any]:
        """As it is kept."""
        own = {"client_id": self.client_id, "token_endpoint_auth_methods_supported": list(self.auth_methods)}
        return {**super().as_dict(), **own}


def check_document_url(url: str) -> str:
    """The host of `url`, if a client may go by it (draft 3). Raises `ValueError`."""
    check_web_uri(url)
    parts = urlsplit(url)
    if not url.startswith("https://") or len(url) > MAX_URL_LENGTH:
        raise ValueError(f"it must be an https URL of at most {MAX_URL_LENGTH} characters")
    if not parts.path or _DOT_SEGMENT.search(parts.path):
        raise ValueError("it must have a path, without dot segments")
    host = parts.hostname or ""
    # Another spelling of the same host, for which a decision about it would not hold.
    if host.endswith("."):
        raise ValueError("its host must not end with a dot")
    return host


def parse_client_document(document: Mapping[str, Any], *, url: str, private_schemes: Collection[str]) -> ClientDocument:
    """Read the document at `url`. Raises `InvalidRedirectUri` and `InvalidClientMetadata`."""
    # Draft 4: else anybody could publish a copy that sends answers elsewhere.
    if document.get("client_id") != url:
        raise InvalidClientMetadata("client_id must be the URL that the document is at.")
    if "client_secret" in document or "client_secret_expires_at" in document:
        raise InvalidClientMetadata("client_secret must not stand in a public document.")
    keys = _keys(document)
    methods = _auth_methods(document, has_keys=bool(keys))
    members = {
        **{name: document[name] for name in ("grant_types", "response_types") if name in document},
        **keys,
        "redirect_uris": _redirect_uris(document, private_schemes),
        "token_endpoint_auth_method": methods[0],
    }

    def parse(optional: Mapping[str, Any]) -> ClientMetadata:
        return parse_client_metadata({**members, **optional}, private_schemes=private_schemes)

    parse({})
    metadata = parse({name: document[name] for name in _OPTIONAL if _is_usable(parse, document, name)})
    values = {field.name: getattr(metadata, field.name) for field in fields(ClientMetadata)}
    return ClientDocument(**values, client_id=url, auth_methods=methods)


def _redirect_uris(document: Mapping[str, Any], private_schemes: Collection[str]) -> list[str]:
    uris = document.get("redirect_uris")
    entries = uris if isinstance(uris, list) else []
    usable = [uri for uri in entries if _holds(lambda entry: check_redirect_uri(entry, private_schemes), uri)]
    if not usable:
        raise InvalidRedirectUri("redirect_uris holds no URI that this server allows.")
    return usable


def _auth_methods(document: Mapping[str, Any], *, has_keys: bool) -> tuple[str, ...]:
    preferred = document.get("token_endpoint_auth_method")
    if isinstance(preferred, str) and _SHARED_SECRETS.fullmatch(preferred):
        raise InvalidClientMetadata("token_endpoint_auth_method must not need a secret that is shared.")
    listed = document.get("token_endpoint_auth_methods_supported")
    offered = [preferred, *(listed if isinstance(listed, list) else [])]
    # With nothing said at all it is a public client: RFC 7591's default would need a secret.
    named = [method for method in offered if isinstance(method, str)] or ["none"]
    usable = [method for method in AUTH_METHODS if method == "none" or has_keys]
    methods = tuple(dict.fromkeys(method for method in named if method in usable))
    if not methods:
        raise InvalidClientMetadata("token_endpoint_auth_method must be none, or private_key_jwt with usable keys.")
    return methods


def _keys(document: Mapping[str, Any]) -> dict[str, Any]:
    # By its address first, where the client can change them.
    readers: dict[str, Callable[[object], Any]] = {"jwks_uri": check_jwks_uri, "jwks": check_client_jwks}
    found = (name for name, check in readers.items() if _holds(check, document.get(name)))
    return {name: document[name] for name in list(found)[:1]}


def _holds(check: Callable[[object], object], value: object) -> bool:
    try:
        check(value)
    except ValueError:
        return False
    return True


def _is_usable(parse: Callable[[Mapping[str, Any]], object], document: Mapping[str, Any], name: str) -> bool:
    if name not in document:
        return False
    try:
        parse({name: document[name]})
    except InvalidClientMetadata:
        return False
    return True
