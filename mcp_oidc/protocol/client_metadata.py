"""The metadata of a client (RFC 7591 2, OpenID Connect Registration 2): validated, and as it is echoed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from mcp_oidc.errors import InvalidClientMetadata, InvalidRedirectUri
from mcp_oidc.protocol.client_keys import check_client_jwks, check_jwks_uri
from mcp_oidc.protocol.uris import check_redirect_uri, check_web_uri, host_of

AUTH_METHODS = ("none", "client_secret_basic", "client_secret_post", "private_key_jwt")
SECRET_METHODS = ("client_secret_basic", "client_secret_post")
# What a client may register. Token exchange is not among it: an operator gives that to a resource server.
GRANT_TYPES = ("authorization_code", "refresh_token")
MAX_REDIRECT_URIS = 20
MAX_LIST = 20
MAX_TEXT = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class ClientMetadata:
    """What a client registered, complete with the defaults that apply to it."""

    redirect_uris: tuple[str, ...]
    auth_method: str
    grant_types: tuple[str, ...]
    application_type: str
    name: str
    scope: str
    # Members that we keep and echo but do not act on: client_uri, logo_uri, contacts, ...
    informational: Mapping[str, Any] = field(default_factory=dict)
    # `jwks` or `jwks_uri`, or neither.
    keys: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As it goes back to the client (RFC 7591 3.2.1). No member is null."""
        document = {
            **self.informational,
            **self.keys,
            "redirect_uris": list(self.redirect_uris),
            "token_endpoint_auth_method": self.auth_method,
            "grant_types": list(self.grant_types),
            "response_types": ["code"],
            "application_type": self.application_type,
        }
        if self.name:
            document["client_name"] = self.name
        if self.scope:
            document["scope"] = self.scope
        return document

    @property
    def has_secret(self) -> bool:
        """Whether the client authenticates with a secret that this server makes for it."""
        return self.auth_method in SECRET_METHODS

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that answers go to by https, in the order of the redirect URIs: what people know a client by."""
        hosts = (host_of(uri) for uri in self.redirect_uris if urlsplit(uri).scheme == "https")
        return tuple(dict.fromkeys(hosts))

    @property
    def digest(self) -> str:
        """The same for two registrations that say the same, whatever the order of their members."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


def parse_client_metadata(document: Mapping[str, Any], *, private_schemes: Collection[str]) -> ClientMetadata:
    """Read what a client wants to register.

    A member that is null or empty counts as left out. Raises `InvalidRedirectUri` and `InvalidClientMetadata`, each
    with a description that names the member.
    """
    # The SDKs send "" for what they do not have, and refuse it when it comes back.
    members = {name: value for name, value in document.items() if value not in (None, "", [])}
    return ClientMetadata(
        redirect_uris=_redirect_uris(members, private_schemes),
        auth_method=_auth_method(members),
        grant_types=_grant_types(members),
        application_type=_application_type(members),
        name=_text(members, "client_name"),
        scope=_text(members, "scope", limit=2000),
        informational=_informational(members),
        keys=_keys(members),
    )


def _redirect_uris(members: Mapping[str, Any], private_schemes: Collection[str]) -> tuple[str, ...]:
    uris = members.get("redirect_uris")
    if not isinstance(uris, list) or not uris:
        raise InvalidRedirectUri("redirect_uris must be a list with at least one URI.")
    if len(uris) > MAX_REDIRECT_URIS:
        raise InvalidRedirectUri(f"redirect_uris holds more than {MAX_REDIRECT_URIS} URIs.")
    for number, uri in enumerate(uris, start=1):
        try:
            check_redirect_uri(uri, private_schemes)
        except ValueError as error:
            # One bad entry refuses the whole registration, whatever stands beside it.
            raise InvalidRedirectUri(f"Entry {number} of redirect_uris is not allowed: {error}.") from None
    return tuple(dict.fromkeys(uris))


def _auth_method(members: Mapping[str, Any]) -> str:
    # RFC 7591 2 defaults to client_secret_basic, but the SDKs that leave it out run on desktops and keep no secret;
    # they take `none` for an answer.
    method = members.get("token_endpoint_auth_method", "none")
    if method not in AUTH_METHODS:
        raise InvalidClientMetadata(f"token_endpoint_auth_method must be one of {', '.join(AUTH_METHODS)}.")
    # RFC 7591 2: without a key there is nothing that its assertions could be verified with.
    if method == "private_key_jwt" and not {"jwks", "jwks_uri"} & set(members):
        raise InvalidClientMetadata("token_endpoint_auth_method private_key_jwt needs jwks or jwks_uri.")
    return str(method)


def _keys(members: Mapping[str, Any]) -> dict[str, Any]:
    if "jwks" in members and "jwks_uri" in members:
        raise InvalidClientMetadata("jwks and jwks_uri must not be sent together.")
    readers: dict[str, Callable[[object], Any]] = {"jwks": check_client_jwks, "jwks_uri": check_jwks_uri}
    return {name: _checked(members, name, check) for name, check in readers.items() if name in members}


def _grant_types(members: Mapping[str, Any]) -> tuple[str, ...]:
    asked = _texts(members, "grant_types") or ("authorization_code", "refresh_token")
    if "authorization_code" not in asked:
        raise InvalidClientMetadata("grant_types must contain authorization_code.")
    responses = _texts(members, "response_types") or ("code",)
    if "code" not in responses:
        raise InvalidClientMetadata("response_types must contain code.")
    # RFC 7591 3.2.1: the server may register less than was asked for, and says so in its answer.
    return tuple(grant for grant in GRANT_TYPES if grant in asked)


def _application_type(members: Mapping[str, Any]) -> str:
    application_type = members.get("application_type", "web")
    if application_type not in ("web", "native"):
        raise InvalidClientMetadata("application_type must be web or native.")
    return str(application_type)


def _informational(members: Mapping[str, Any]) -> dict[str, Any]:
    readers: dict[str, Callable[[Mapping[str, Any], str], Any]] = {
        **dict.fromkeys(("client_uri", "logo_uri", "tos_uri", "policy_uri"), _web_uri),
        "contacts": lambda document, name: list(_texts(document, name)),
        "software_id": _text,
        "software_version": _text,
    }
    values = {name: read(members, name) for name, read in readers.items() if name in members}
    return {name: value for name, value in values.items() if value}


def _web_uri(members: Mapping[str, Any], name: str) -> str:
    return str(_checked(members, name, check_web_uri))


def _checked(members: Mapping[str, Any], name: str, check: Callable[[object], Any]) -> Any:
    try:
        return check(members[name])
    except ValueError as error:
        raise InvalidClientMetadata(f"{name} is not allowed: {error}.") from None


def _text(members: Mapping[str, Any], name: str, limit: int = MAX_TEXT) -> str:
    value = members.get(name, "")
    if not isinstance(value, str) or len(value) > limit:
        raise InvalidClientMetadata(f"{name} must be a string of at most {limit} characters.")
    return _CONTROL.sub(" ", value).strip()


def _texts(members: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = members.get(name, [])
    if not isinstance(values, list) or len(values) > MAX_LIST:
        raise InvalidClientMetadata(f"{name} must be a list of at most {MAX_LIST} strings.")
    if not all(isinstance(value, str) and len(value) <= MAX_TEXT for value in values):
        raise InvalidClientMetadata(f"{name} must be a list of strings of at most {MAX_TEXT} characters.")
    return tuple(_CONTROL.sub(" ", value) for value in values)
