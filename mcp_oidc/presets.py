"""`MCP_OIDC["UPSTREAM"]` for identity providers that many teams have. Plain Python: a settings.py may import it.

    from mcp_oidc import presets

    MCP_OIDC = {
        "ISSUER": "https://mcp.example.com",
        "UPSTREAM": presets.keycloak("https://login.example.com", "staff", client_id="mcp", client_secret=SECRET),
    }

Each takes further keys of UPSTREAM, such as `TIMEOUT=5`, which win over its own; those of AUTH_PARAMS are added to it.
All raise `ValueError` for what cannot be right, in words that never repeat a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlsplit

Upstream = dict[str, Any]

_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+")
_TENANT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Personal Microsoft accounts are a tenant too.
_CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"


def auth0(
    domain: str,
    *,
    client_id: str,
    client_secret: str = "",
    audience: str | None = None,
    scopes: Iterable[str] = (),
    **settings: Any,
) -> Upstream:
    """Auth0. `domain` is the tenant's, such as `acme.eu.auth0.com`, or a custom one.

    `audience` is the identifier of the API that tools will call; without it, access tokens are opaque and good for
    userinfo alone.
    """
    return _upstream(
        # Auth0 writes its issuer with a slash at the end.
        f"https://{_host('domain', domain)}/",
        client_id,
        client_secret,
        scopes=("offline_access", *scopes),
        auth_params={"audience": _text("audience", audience)} if audience is not None else {},
        settings={
            "CLIENT_CLASS": "mcp_oidc.upstream.auth0.Auth0Provider",
            # What its applications begin with; its metadata lists every way there is.
            "CLIENT_AUTH": "private_key_jwt" if "CLIENT_KEY" in settings else "client_secret_post",
            **settings,
        },
    )


def okta(
    domain: str,
    *,
    client_id: str,
    client_secret: str = "",
    authorization_server: str | None = "default",
    groups: bool = False,
    scopes: Iterable[str] = (),
    **settings: Any,
) -> Upstream:
    """Okta. `domain` is the organization's, such as `acme.okta.com`, or a custom one.

    `authorization_server` is the id of a custom authorization server, or None for the organization's own, whose access
    tokens only Okta's APIs take. `groups` asks for the scope of that name, which a custom one has to define first.
    """
    host = _host("domain", domain)
    if "-admin." in host:
        raise ValueError(f"domain is {domain!r}, the admin console's, but must be {host.replace('-admin', '', 1)!r}.")
    path = "" if authorization_server is None else f"/oauth2/{_word('authorization_server', authorization_server)}"
    return _upstream(
        f"https://{host}{path}",
        client_id,
        client_secret,
        scopes=("offline_access", *(("groups",) if groups else ()), *scopes),
        settings=settings,
    )


def keycloak(
    base_url: str,
    realm: str,
    *,
    client_id: str,
    client_secret: str = "",
    offline_access: bool = True,
    scopes: Iterable[str] = (),
    **settings: Any,
) -> Upstream:
    """Keycloak. `base_url` is where it is reached, with the path that it is served under, if there is one.

    With `offline_access`, its refresh tokens outlast the realm's SSO session, which ends after ten hours by default;
    without, a connection ends with that session.
    """
    if "/realms/" in _text("base_url", base_url):
        raise ValueError(f"base_url is {base_url!r}, but must end before /realms/, which is added.")
    return _upstream(
        f"{_base(base_url)}/realms/{quote(_text('realm', realm), safe='')}",
        client_id,
        client_secret,
        scopes=(*(("offline_access",) if offline_access else ()), *scopes),
        settings=settings,
    )


def entra(
    tenant: str,
    *,
    client_id: str,
    client_secret: str = "",
    tenants: Iterable[str] = (),
    authority: str = "https://login.microsoftonline.com",
    scopes: Iterable[str] = (),
    **settings: Any,
) -> Upstream:
    """Microsoft Entra. `tenant` is the directory (tenant) id, or `consumers` for personal Microsoft accounts.

    It may be `organizations`, or `common` to include personal accounts. Then `tenants` lists the ids of those whose
    users may log in; `["*"]` lets in everybody who has an account at Microsoft. `authority` is that of a national
    cloud.
    """
    if "resource" in (settings.get("AUTH_PARAMS") or {}):
        raise ValueError("AUTH_PARAMS holds resource, which Entra refuses: name the API's scopes, as in api://…/read.")
    segment, members = _entra_tenants(tenant, (tenants,) if isinstance(tenants, str) else tuple(tenants))
    return _upstream(
        f"{_base(authority, 'authority')}/{segment}/v2.0",
        client_id,
        client_secret,
        scopes=("offline_access", *scopes),
        settings={"CLIENT_CLASS": "mcp_oidc.upstream.entra.EntraProvider", **members, **settings},
    )


def google(
    *,
    client_id: str,
    client_secret: str = "",
    hosted_domain: str | None = None,
    ask_consent: bool = True,
    scopes: Iterable[str] = (),
    **settings: Any,
) -> Upstream:
    """Google. With `hosted_domain`, only accounts of that Google Workspace domain may log in, or of any if it is `*`.

    Google gives a refresh token only where it asks for consent, which by itself it does once for each account; with
    `ask_consent` it does at every login.
    """
    domain = {} if hosted_domain is None else {"hd": _hosted_domain(hosted_domain)}
    return _upstream(
        "https://accounts.google.com",
        client_id,
        client_secret,
        scopes=tuple(scopes),
        # In the place of the scope offline_access, which Google refuses.
        auth_params={"access_type": "offline", **({"prompt": "consent"} if ask_consent else {}), **domain},
        settings={"CLIENT_CLASS": "mcp_oidc.upstream.google.GoogleProvider", **settings},
    )


def clerk(
    domain: str,
    *,
    client_id: str,
    client_secret: str = "",
    organizations: bool = False,
    offline_access: bool = False,
    scopes: Iterable[str] = (),
    **settings: Any,
) -> Upstream:
    """Clerk as an identity provider. `domain` is that of the Frontend API, such as `clerk.example.com`.

    `organizations` has the person choose an organization, which becomes the claim `org_id`. `offline_access` asks for
    that scope; Clerk refuses a login that asks for a scope which is not ticked for the OAuth application.
    """
    wanted = {"user:org:read": organizations, "offline_access": offline_access}
    return _upstream(
        f"https://{_host('domain', domain)}",
        client_id,
        client_secret,
        scopes=(*(scope for scope, is_wanted in wanted.items() if is_wanted), *scopes),
        settings=settings,
    )


def oidc(
    issuer: str,
    *,
    client_id: str,
    client_secret: str = "",
    offline_access: bool = False,
    scopes: Iterable[str] = (),
    **settings: Any,
) -> Upstream:
    """Any OpenID provider. `issuer` is written exactly as its discovery document does, slash at the end included."""
    _base(issuer, "issuer")
    if issuer.rstrip("/").endswith("/.well-known/openid-configuration"):
        raise ValueError(f"issuer is {issuer!r}, but must end before /.well-known/, which is added.")
    wanted = (*(("offline_access",) if offline_access else ()), *scopes)
    return _upstream(issuer, client_id, client_secret, scopes=wanted, settings=settings)


def _upstream(
    issuer: str,
    client_id: str,
    client_secret: str,
    *,
    scopes: Iterable[str],
    settings: Upstream,
    auth_params: dict[str, str] | None = None,
) -> Upstream:
    for key in settings:
        if not key.isupper():
            raise ValueError(f"{key!r} is no argument of this preset, nor a key of UPSTREAM, which are in capitals.")
    params = {**(auth_params or {}), **(settings.pop("AUTH_PARAMS", None) or {})}
    return {
        "ISSUER": issuer,
        "CLIENT_ID": _text("client_id", client_id),
        "CLIENT_SECRET": _secret(client_secret, settings),
        "SCOPES": list(dict.fromkeys(["openid", "email", "profile", *scopes])),
        **({"AUTH_PARAMS": params} if params else {}),
        **settings,
    }


def _entra_tenants(tenant: str, tenants: tuple[str, ...]) -> tuple[str, Upstream]:
    name = _text("tenant", tenant).lower()
    segment = _CONSUMERS if name == "consumers" else name
    if _TENANT.fullmatch(segment):
        if tenants:
            raise ValueError("tenants only goes with organizations or common: tenant names the one that may log in.")
        return segment, {}
    if segment not in ("organizations", "common"):
        raise ValueError(
            f"tenant is {tenant!r}, but must be the directory (tenant) id that the app's overview shows, a UUID, or one"
            " of consumers, organizations and common. Entra's tokens do not name a tenant by its domain."
        )
    members = [_text("tenants", member).lower() for member in tenants]
    if members != ["*"] and not (members and all(_TENANT.fullmatch(member) for member in members)):
        raise ValueError(
            f"tenants is {members!r}, but with {segment!r} must list the ids of the tenants whose users may log in, or"
            ' be ["*"] for everybody who has an account at Microsoft.'
        )
    return segment, {"TENANTS": members}


def _hosted_domain(domain: str) -> str:
    return "*" if domain == "*" else _host("hosted_domain", _text("hosted_domain", domain).lower())


def _secret(secret: str, settings: Upstream) -> str:
    # None is what os.environ.get() returns of a name that is not there.
    if not isinstance(secret, str):
        raise ValueError(f"client_secret is of type {type(secret).__name__}, but must be a string: is it set at all?")
    if not secret and "CLIENT_KEY" not in settings and settings.get("CLIENT_AUTH") != "none":
        raise ValueError('client_secret is empty. For a public client, which has none, add CLIENT_AUTH="none".')
    return secret


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value or value != value.strip():
        raise ValueError(f"{name} is {value!r}, but must be a string that is not empty: is it set at all?")
    return value


def _word(name: str, value: object) -> str:
    text = _text(name, value)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise ValueError(f"{name} is {value!r}, but must be an id of letters and digits.")
    return text


def _host(name: str, value: object) -> str:
    text = _text(name, value)
    if not _HOST.fullmatch(text):
        raise ValueError(f"{name} is {value!r}, but must be a host name in small letters, without https:// and path.")
    return text


def _base(url: str, name: str = "base_url") -> str:
    parts = urlsplit(_text(name, url))
    # No login may go over plain HTTP, except to a provider on one's own machine.
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not is_safe or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{name} is {url!r}, but must be a URL such as https://login.example.com.")
    return url.rstrip("/")
