"""The documents that clients find a server by: its metadata, its keys, and the metadata of its resources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from mcp_oidc.doctor.asking import Ask, Reply, Unreachable
from mcp_oidc.doctor.findings import Finding, error, ok
from mcp_oidc.protocol.uris import origin_of

METADATA, OPENID, KEYS, RESOURCE = "metadata", "openid-metadata", "keys", "resource-metadata"

_URLS = 'Serve our URLs at the root, `path("", include("mcp_oidc.urls"))`, and let the proxy pass {path} on to Django.'
_BELOW = (
    "An issuer with a path needs the well-known URLs at the root of its host, too: "
    '`path("", include(mcp_oidc.urls.well_known))` in the root URLconf, and a rule of the proxy for {path}.'
)
_MEMBERS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


def metadata_url(issuer: str, document: str = "oauth-authorization-server") -> str:
    """Where a client looks first (RFC 8414 3.1): the issuer's path stands behind the well-known part."""
    origin = origin_of(issuer)
    return f"{origin}/.well-known/{document}{issuer.removeprefix(origin)}"


def check_documents(ask: Ask, issuer: str) -> Iterator[Finding]:
    """Both metadata documents, and the keys that they name."""
    yield from _check_metadata(ask, issuer, METADATA, metadata_url(issuer))
    yield from _check_metadata(ask, issuer, OPENID, metadata_url(issuer, "openid-configuration"))
    document = read_document(ask, metadata_url(issuer))
    if document is not None and isinstance(document.get("jwks_uri"), str):
        yield from _check_keys(ask, document["jwks_uri"])


def read_document(ask: Ask, url: str) -> dict[str, Any] | None:
    """The JSON document at `url`; None where there is none."""
    try:
        reply = ask("GET", url, {}, b"")
    except Unreachable:
        return None
    return reply.json() if reply.is_success else None


def check_resource_metadata(ask: Ask, issuer: str, resource: str) -> Iterator[Finding]:
    """The metadata of one resource (RFC 9728 3), which a client compares with the URL that its user typed."""
    path = urlsplit(resource).path
    url = f"{origin_of(resource)}/.well-known/oauth-protected-resource{'' if path == '/' else path}"
    reply, trouble = fetch(ask, RESOURCE, url)
    if reply is None:
        yield from trouble
        return
    document = reply.json() or {}
    if document.get("resource") != resource:
        yield error(
            RESOURCE,
            f"{url} names the resource {document.get('resource')!r}, and clients use {resource!r}: they refuse that.",
            "Write the key of RESOURCES as users type the URL, to the last slash; a path belongs to ISSUER's own host.",
        )
    elif document.get("authorization_servers") != [issuer]:
        yield error(
            RESOURCE,
            f"{url} names the servers {document.get('authorization_servers')!r}, and not {issuer!r} alone.",
            f'Write "ISSUER": "{issuer}" in MCP_OIDC, the same in every process.',
        )
    else:
        yield ok(RESOURCE, f"{resource} is described, and names this server.")


def fetch(ask: Ask, check: str, url: str) -> tuple[Reply | None, list[Finding]]:
    """The JSON document at `url`, or what is in the way of it."""
    try:
        reply = ask("GET", url, {"Origin": "https://client.example"}, b"")
    except Unreachable as failure:
        return None, [error(check, f"{url}: {failure}.", "Is the server up, and its name and certificate right?")]
    if not reply.is_success or reply.json() is None:
        return None, [_explain(check, url, reply)]
    if reply.headers.get("access-control-allow-origin") != "*":
        return None, [
            error(
                check,
                f"{url} may not be read by pages of other origins, so clients in browsers do not find the server.",
                'MIDDLEWARE.insert(0, "mcp_oidc.server.cors.CorsMiddleware"), and no proxy that removes its headers.',
            )
        ]
    return reply, []


def _check_metadata(ask: Ask, issuer: str, check: str, url: str) -> Iterator[Finding]:
    reply, trouble = fetch(ask, check, url)
    if reply is None:
        yield from trouble
        return
    document = reply.json() or {}
    if document.get("issuer") != issuer:
        yield error(
            check,
            f"{url} names the issuer {document.get('issuer')!r}, and clients that look for {issuer!r} refuse that.",
            f'Write "ISSUER": "{issuer}" in MCP_OIDC, if that is the address that users and clients see.',
        )
        return
    foreign = [name for name in _MEMBERS if not str(document.get(name, "")).startswith(issuer + "/")]
    if foreign:
        yield error(check, f"{url} has no {foreign[0]} of this server.", _URLS.format(path=urlsplit(url).path))
        return
    yield ok(check, f"{url} is there, and its issuer is the same to the letter.")


def _check_keys(ask: Ask, url: str) -> Iterator[Finding]:
    reply, trouble = fetch(ask, KEYS, url)
    if reply is None:
        yield from trouble
        return
    keys = (reply.json() or {}).get("keys")
    if not isinstance(keys, list) or not keys:
        yield error(KEYS, f"{url} holds no key.", "`python manage.py mcp_oidc_rotate_keys --now`, or JWKS.")
    elif any(not isinstance(key, dict) or "d" in key or "k" in key for key in keys):
        yield error(KEYS, f"{url} gives private keys away.", "Replace the keys at once, and whatever serves this URL.")
    else:
        yield ok(KEYS, f"{url} publishes the keys that tokens are verified by.")


def _explain(check: str, url: str, reply: Reply) -> Finding:
    path = urlsplit(url).path
    if reply.is_redirect:
        where = reply.headers.get("location", "")[:200]
        mend = "Serve it as it is: let neither the proxy nor a middleware add a slash or move it to another host."
        return error(check, f"{url} is a redirect to {where}, which clients do not follow.", mend)
    if reply.status == 400:
        host = urlsplit(url).hostname
        return error(
            check, f"{url} is refused with 400.", f'ALLOWED_HOSTS = ["{host}"], and Host passed on by the proxy.'
        )
    if reply.status in (401, 403):
        mend = f"Let {path} through without a login: clients read it before they have anything to show."
        return error(check, f"{url} is refused with {reply.status}.", mend)
    if reply.status >= 500:
        mend = "Look into the server's log; behind a proxy, also whether it reaches Django."
        return error(check, f"{url} fails with {reply.status}.", mend)
    if reply.is_success:
        mend = _URLS.format(path=path)
        return error(check, f"{url} is no JSON document: something else answers there.", mend)
    is_below = not path.endswith(("/oauth-authorization-server", "/openid-configuration")) and check != RESOURCE
    return error(check, f"{url} is not there ({reply.status}).", (_BELOW if is_below else _URLS).format(path=path))
