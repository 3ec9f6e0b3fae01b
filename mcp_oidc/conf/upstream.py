"""The identity provider, as `MCP_OIDC["UPSTREAM"]` names it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from mcp_oidc.conf.reading import inside, is_url, read_choice, read_flag, read_number, read_scopes, read_texts, wrong

# Stored with each user; "local" stands for those who log in at the project itself.
_NAME = re.compile(r"(?!local\Z)[A-Za-z0-9._-]{1,64}")
# How we authenticate at the provider; "auto" goes by its metadata.
CLIENT_AUTH = ("auto", "client_secret_basic", "client_secret_post", "private_key_jwt", "none")
_NEEDS = {
    "client_secret_basic": "CLIENT_SECRET",
    "client_secret_post": "CLIENT_SECRET",
    "private_key_jwt": "CLIENT_KEY",
}
# Entra's issuers that stand for every tenant: whoever has an account anywhere could log in.
_ALL_TENANTS = re.compile(r"/(?:organizations|common)/v2\.0/?")
_TENANT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
EVERY_TENANT = "*"


@dataclass(frozen=True)
class Upstream:
    """The identity provider. `name` tells several apart in what is stored; there is one today."""

    name: str
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...]
    auth_params: Mapping[str, str]
    client_class: str
    # The provider's metadata by hand (OpenID Connect Discovery 3), for one without discovery.
    metadata: Mapping[str, Any] | None = None
    client_auth: str = CLIENT_AUTH[0]
    # Private JWK for private_key_jwt.
    client_key: Mapping[str, Any] | None = field(default=None, repr=False)
    # URL of an HTTP proxy; may hold a password.
    proxy: str = field(default="", repr=False)
    # Path of a file of PEM certificates, in the place of certifi's.
    ca_bundle: str = ""
    # Seconds for a whole exchange with the provider.
    timeout: int = 10
    # Entra tenants whose users may log in where the issuer stands for all, or EVERY_TENANT; empty where one is all.
    tenants: tuple[str, ...] = ()
    link_by_email: bool = False
    update_users: bool = False
    # Seconds since the provider was last asked about a user, after which our refresh asks it again; None: never.
    revalidate_after: int | None = 300
    revalidate_strict: bool = False
    # Whether connections outlive the session at the provider that they were approved in.
    logout_spares_connections: bool = False


def read_upstream(value: object) -> Upstream | None:
    """The provider, or None where there is none. Raises `ImproperlyConfigured`; a secret is never repeated."""
    if not value:
        return None
    if not isinstance(value, Mapping):
        raise wrong("UPSTREAM", type(value), 'a dict with "ISSUER" and "CLIENT_ID"')
    for key in ("ISSUER", "CLIENT_ID"):
        if not isinstance(value.get(key), str) or not value[key]:
            raise wrong(_path(key), value.get(key), "the value that your IdP shows for this app")
    if not is_url(value["ISSUER"]):
        raise wrong(_path("ISSUER"), value["ISSUER"], "a URL, such as https://login.example.com")
    return Upstream(
        name=_name(value),
        issuer=value["ISSUER"],
        client_id=value["CLIENT_ID"],
        client_secret=_secret(value, "CLIENT_SECRET"),
        scopes=read_scopes(_path("SCOPES"), value.get("SCOPES", "openid email profile")),
        auth_params=_auth_params(value),
        client_class=value.get("CLIENT_CLASS", "mcp_oidc.upstream.provider.Provider"),
        metadata=_mapping(value, "METADATA"),
        client_auth=_client_auth(value),
        client_key=_jwk(value.get("CLIENT_KEY")),
        proxy=_proxy(value),
        ca_bundle=_file(value, "CA_BUNDLE"),
        timeout=read_number(value, "TIMEOUT", 10, path=_path("TIMEOUT")),
        tenants=_tenants(value),
        link_by_email=read_flag(value, "LINK_BY_EMAIL", default=False, path=_path("LINK_BY_EMAIL")),
        update_users=read_flag(value, "UPDATE_USERS", default=False, path=_path("UPDATE_USERS")),
        revalidate_after=_revalidate_after(value),
        revalidate_strict=read_flag(value, "REVALIDATE_STRICT", default=False, path=_path("REVALIDATE_STRICT")),
        logout_spares_connections=read_flag(
            value, "LOGOUT_SPARES_CONNECTIONS", default=False, path=_path("LOGOUT_SPARES_CONNECTIONS")
        ),
    )


def _path(key: str) -> str:
    return inside("UPSTREAM", key)


def _auth_params(values: Mapping[str, Any]) -> dict[str, str]:
    params = _mapping(values, "AUTH_PARAMS") or {}
    if not all(isinstance(text, str) for pair in params.items() for text in pair):
        raise wrong(_path("AUTH_PARAMS"), params, "a dict of strings to strings")
    return params


def _name(values: Mapping[str, Any]) -> str:
    name = values.get("NAME", "upstream")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise wrong(_path("NAME"), name, "a word of letters, digits, dots, hyphens and underscores, and not 'local'")
    return name


def _mapping(values: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    value = values.get(key)
    if value is not None and not isinstance(value, Mapping):
        raise wrong(_path(key), type(value), "a dict")
    return None if value is None else dict(value)


def _secret(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key) or ""
    if not isinstance(value, str):
        raise wrong(_path(key), type(value), "a string")
    return value


def _client_auth(values: Mapping[str, Any]) -> str:
    method = read_choice(values, "CLIENT_AUTH", CLIENT_AUTH, path=_path("CLIENT_AUTH"))
    needed = _NEEDS.get(method)
    if needed is not None and not values.get(needed):
        raise wrong(_path("CLIENT_AUTH"), method, f"accompanied by {needed}, which is not set")
    return method


def _proxy(values: Mapping[str, Any]) -> str:
    proxy = _secret(values, "PROXY")
    if proxy and not _is_proxy(proxy):
        # It may hold a password, so it is not shown.
        raise wrong(_path("PROXY"), str, "the URL of an HTTP proxy, such as http://proxy.example.com:3128")
    return proxy


def _is_proxy(text: str) -> bool:
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return has_host and parts.scheme in ("http", "https") and text.isascii() and text.isprintable() and " " not in text


def _file(values: Mapping[str, Any], key: str) -> str:
    path = values.get(key) or ""
    if not isinstance(path, str | os.PathLike):
        raise wrong(_path(key), type(path), "the path of a file")
    return os.fsdecode(path)


def _tenants(values: Mapping[str, Any]) -> tuple[str, ...]:
    tenants = read_texts(values, "TENANTS", (), path=_path("TENANTS"))
    if not _ALL_TENANTS.search(values["ISSUER"]):
        if tenants:
            raise wrong(_path("TENANTS"), tenants, "left out, because ISSUER is that of one tenant")
        return ()
    if tenants == (EVERY_TENANT,) or (tenants and all(_TENANT.fullmatch(tenant) for tenant in tenants)):
        return tenants
    raise wrong(
        _path("TENANTS"),
        tenants,
        'a list of the tenants whose users may log in, by their ids in small letters, or ["*"] for everybody who has an'
        " account at Microsoft, because ISSUER stands for all tenants",
    )


def _jwk(value: object) -> dict[str, Any] | None:
    if not value:
        return None
    try:
        jwk = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        jwk = None
    if not isinstance(jwk, Mapping):
        raise wrong(_path("CLIENT_KEY"), type(value), "a private JSON Web Key, as a dict or as JSON")
    return dict(jwk)


def _revalidate_after(values: Mapping[str, Any]) -> int | None:
    if "REVALIDATE_AFTER" in values and values["REVALIDATE_AFTER"] is None:
        return None
    return read_number(values, "REVALIDATE_AFTER", 300, least=0, path=_path("REVALIDATE_AFTER"))
