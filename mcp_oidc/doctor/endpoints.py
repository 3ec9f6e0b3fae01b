"""The endpoints, asked in ways that a server which is well refuses in its own words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from mcp_oidc.doctor.asking import Ask, Reply, Unreachable
from mcp_oidc.doctor.findings import Finding, error, note, ok, warning
from mcp_oidc.protocol.cors import ALLOWED_REQUEST_HEADERS
from mcp_oidc.protocol.uris import origin_of

CHALLENGE, AUTHORIZATION_HEADER, PREFLIGHT = "challenge", "authorization-header", "preflight"
TOKEN, REGISTRATION, LONG_URL = "token", "registration", "long-urls"

_INSPECTOR = "http://localhost:6274"
_CALL = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
_JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# ChatGPT's state is over 520 characters, and others send more.
_LONG_STATE = "s" * 3000


def check_resource(ask: Ask, resource: str) -> Iterator[Finding]:
    """An MCP endpoint: closed, with a challenge that leads here, open to preflights, and reached by the header."""
    try:
        without = ask("POST", resource, _JSON, _CALL)
        with_one = ask("POST", resource, {**_JSON, "Authorization": "Bearer doctor"}, _CALL)
        preflight = ask("OPTIONS", resource, _preflight_of("POST"), b"")
    except Unreachable as failure:
        yield error(CHALLENGE, f"{resource}: {failure}.", "Is the server up, and its name and certificate right?")
        return
    finding = _challenge(resource, without)
    yield finding or ok(CHALLENGE, f"{resource} is closed, and its challenge leads clients to this server.")
    if finding is None:
        yield _authorization_header(resource, with_one)
    yield _preflight(resource, preflight)


def check_endpoints(ask: Ask, metadata: dict[str, Any]) -> Iterator[Finding]:
    """The endpoints that the metadata names."""
    for check, name, headers, body in (
        (TOKEN, "token_endpoint", _FORM, b"grant_type=authorization_code"),
        (REGISTRATION, "registration_endpoint", _JSON, b"{}"),
    ):
        if isinstance(metadata.get(name), str):
            yield from _in_protocol(ask, check, metadata[name], headers, body)
    if isinstance(metadata.get("authorization_endpoint"), str):
        yield from _long_urls(ask, metadata["authorization_endpoint"])


def _challenge(resource: str, reply: Reply) -> Finding | None:
    challenge = reply.headers.get("www-authenticate", "")
    if reply.status == 401 and challenge.startswith("Bearer") and "resource_metadata=" in challenge:
        expected = f'resource_metadata="{origin_of(resource)}/.well-known/oauth-protected-resource'
        if expected in challenge:
            return None
        return error(
            CHALLENGE,
            f"The challenge of {resource} leads elsewhere: {challenge[:200]}",
            "Write the key of RESOURCES as the URL that clients use, or ISSUER with its host.",
        )
    return error(CHALLENGE, *_why_there_is_none(resource, reply, challenge))


def _why_there_is_none(resource: str, reply: Reply, challenge: str) -> tuple[str, str]:
    if reply.is_redirect:
        where = reply.headers.get("location", "")[:200]
        return (
            f"{resource} is a redirect to {where}, which turns a POST into a GET.",
            "Serve the endpoint at the very URL of the resource, without a slash more or less; and over https at once.",
        )
    if reply.status == 401:
        return (
            f"{resource} answers 401 with {challenge[:100]!r}, which tells no client where to log in.",
            'Protect it with mcp_oidc: `@protect("/mcp")`, or one of the other ways of docs/protect.',
        )
    if reply.is_success:
        return (
            f"{resource} answers {reply.status} to a call without a token: it is open to everybody.",
            'Protect it: `@protect("/mcp")`, or one of the other ways of docs/protect.',
        )
    if reply.status == 421:
        return (
            f"{resource} answers 421: the mcp SDK does not know this host.",
            "server.streamable_http_app(transport_security=transport_security())",
        )
    if reply.status == 403:
        return (
            f"{resource} answers 403 before it has seen a token: CSRF protection, or something in front.",
            "Protect the view with mcp_oidc, which takes CSRF checks off it; let the proxy pass the path on.",
        )
    if reply.status in (404, 405):
        return (
            f"{resource} answers {reply.status} to a POST: there is no MCP endpoint.",
            "Serve it at that URL, or write the URL where it is as the key of RESOURCES.",
        )
    return f"{resource} answers {reply.status} to a call without a token.", "Look into the server's log."


def _authorization_header(resource: str, reply: Reply) -> Finding:
    if 'error="invalid_token"' in reply.headers.get("www-authenticate", ""):
        return ok(AUTHORIZATION_HEADER, f"The Authorization header reaches {resource}.")
    return error(
        AUTHORIZATION_HEADER,
        f"A token in the Authorization header does not reach {resource}.",
        "Let the proxy pass it on: `WSGIPassAuthorization On` for Apache's mod_wsgi, `proxy_pass_request_headers on` "
        "for nginx, and no basic authentication in front.",
    )


def _preflight(resource: str, reply: Reply) -> Finding:
    allowed = {name.strip().lower() for name in reply.headers.get("access-control-allow-headers", "").split(",")}
    missing = [name for name in ALLOWED_REQUEST_HEADERS if name.lower() not in allowed]
    is_open = reply.headers.get("access-control-allow-origin") in ("*", _INSPECTOR)
    if reply.is_success and is_open and not missing:
        return ok(PREFLIGHT, f"{resource} answers the preflights of browsers.")
    return warning(
        PREFLIGHT,
        f"{resource} answers a preflight of the MCP Inspector with {reply.status}"
        f"{f' and does not allow {missing[0]}' if is_open and missing else ''}: clients in browsers cannot call it.",
        'MIDDLEWARE.insert(0, "mcp_oidc.server.cors.CorsMiddleware"); in front of an ASGI app, BearerMiddleware '
        "outside everything else; and let the proxy pass OPTIONS on.",
    )


def _in_protocol(ask: Ask, check: str, url: str, headers: dict[str, str], body: bytes) -> Iterator[Finding]:
    try:
        reply = ask("POST", url, headers, body)
        preflight = ask("OPTIONS", url, _preflight_of("POST"), b"")
    except Unreachable as failure:
        yield error(check, f"{url}: {failure}.", "Is the server up, and its name and certificate right?")
        return
    if reply.status == 503 and reply.text("error"):
        yield error(check, f"{url} answers 503.", "Look into the server's log: the database, or the signing keys.")
    elif reply.status not in (400, 401) or not reply.text("error"):
        yield error(
            check,
            f"{url} answers {reply.status} to nonsense, and not with an OAuth error: something else answers there.",
            "Let the proxy pass POST requests on to Django as they are, bodies and errors included.",
        )
    elif preflight.headers.get("access-control-allow-origin") not in ("*", _INSPECTOR):
        yield warning(
            check,
            f"{url} does not answer the preflights of browsers.",
            'MIDDLEWARE.insert(0, "mcp_oidc.server.cors.CorsMiddleware"), and let the proxy pass OPTIONS on.',
        )
    else:
        yield ok(check, f"{url} answers in the protocol's terms.")


def _long_urls(ask: Ask, url: str) -> Iterator[Finding]:
    query = urlencode({"client_id": "doctor", "response_type": "code", "state": _LONG_STATE})
    try:
        reply = ask("GET", f"{url}?{query}", {}, b"")
    except Unreachable as failure:
        yield error(LONG_URL, f"A long authorization request gets no answer: {failure}.", _LARGER)
        return
    # An unknown client gets its page from us.
    if reply.status in (400, 404) and b"<html" in reply.body.lower():
        yield ok(LONG_URL, "Authorization requests with a long state come through.")
    elif reply.status in (413, 414, 431, 494, 502):
        yield error(LONG_URL, f"A long authorization request is refused with {reply.status}.", _LARGER)
    else:
        yield note(LONG_URL, f"A long authorization request of an unknown client is answered with {reply.status}.")


_LARGER = (
    "Let the proxy take request lines of 16 KB: `large_client_header_buffers 4 16k` for nginx, "
    "`LimitRequestLine 16380` for Apache, `--limit-request-line 8190` for gunicorn."
)


def _preflight_of(method: str) -> dict[str, str]:
    return {
        "Origin": _INSPECTOR,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": ", ".join(name.lower() for name in ALLOWED_REQUEST_HEADERS),
    }
