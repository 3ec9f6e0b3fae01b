"""Requests as no client library would send them, written to the socket of a live server: none gets a call through."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

from mcp_oidc.resource.asgi import BearerMiddleware, Receive, Scope, Send
from mcp_oidc.resource.decorators import protect
from tests.resource.doc_pages import serving_urls
from tests.resource.live import Live, live
from tests.resource.worlds import Issue

pytestmark = pytest.mark.django_db(transaction=True)

CALL = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "add_note"}}'
PING = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}'


def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"called: " + request.body)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    answer = b"called: " + body
    length = [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": answer})


def views() -> Any:
    return ASGIHandler()


def apps() -> Any:
    return BearerMiddleware(app)


@pytest.fixture(params=[views, apps])
def server(request: Any, issue: Issue) -> Iterator[Live]:
    resources = {"/mcp": {"TOOL_SCOPES": {"add_note": ["notes:write"]}}}
    with (
        serving_urls({"urlpatterns": [path("mcp", protect("/mcp")(view))]}),
        live(issue, request.param, RESOURCES=resources) as up,
    ):
        yield up


def send(server: Live, token: str, *lines: str, method: str = "POST", body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of the answer to a request of just these header lines."""
    host = urlsplit(server.url)
    head = [f"{method} /mcp HTTP/1.1", f"Host: {host.netloc}", "Connection: close", *lines]
    with socket.create_connection((host.hostname, host.port), timeout=30) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).replace("TOKEN", token).encode() + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    found = re.match(rb"HTTP/1.1 (\d+)", answer)
    assert found is not None, answer
    return int(found[1]), answer.partition(b"\r\n\r\n")[2]


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


BEARER = "Authorization: Bearer TOKEN"
JSON = "Content-Type: application/json"
LENGTH = f"Content-Length: {len(CALL)}"
CHUNKED = "Transfer-Encoding: chunked"
ATTACKS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "as it is": ((BEARER, JSON, LENGTH), {"body": CALL}),
    "in chunks": ((BEARER, JSON, CHUNKED), {"body": chunked(CALL[:40], CALL[40:55], CALL[55:])}),
    "GET in chunks": ((BEARER, JSON, CHUNKED), {"method": "GET", "body": chunked(CALL)}),
    "PUT": ((BEARER, JSON, LENGTH), {"method": "PUT", "body": CALL}),
    "method in small letters": ((BEARER, JSON, LENGTH), {"method": "post", "body": CALL}),
    "headers in capitals": (("AUTHORIZATION: bearer TOKEN", "CONTENT-TYPE: text/plain", LENGTH), {"body": CALL}),
    "two tokens": ((BEARER, BEARER, JSON, LENGTH), {"body": CALL}),
    "two schemes": (("Authorization: Basic YTpi", BEARER, JSON, LENGTH), {"body": CALL}),
    "two methods named": ((BEARER, JSON, LENGTH, "Mcp-Method: ping", "mcp-method: tools/call"), {"body": CALL}),
    "two types": ((BEARER, JSON, f"{JSON}; charset=utf-16", LENGTH), {"body": CALL}),
    "underscores": ((BEARER, JSON, LENGTH, "Mcp_Method: ping", "Content_Length: 2"), {"body": CALL}),
    "two lengths": ((BEARER, JSON, LENGTH, "Content-Length: 2"), {"body": CALL}),
    "length and chunks": ((BEARER, JSON, "Content-Length: 0", CHUNKED), {"body": chunked(CALL)}),
    "method overridden": ((BEARER, JSON, LENGTH, "X-HTTP-Method-Override: POST"), {"method": "GET", "body": CALL}),
    "OPTIONS": ((BEARER, JSON, LENGTH), {"method": "OPTIONS", "body": CALL}),
    "form": ((BEARER, "Content-Type: multipart/form-data; boundary=x", LENGTH), {"body": CALL}),
}


@pytest.mark.requirement("resource-scopes-of-tools")
def test_no_request_gets_a_call_through_without_its_scopes(server: Live) -> None:
    narrow, wide = server.token(), server.token(scope="mcp notes:write")
    assert send(server, wide, BEARER, JSON, LENGTH, body=CALL) == (200, b"called: " + CALL)
    assert send(server, narrow, BEARER, JSON, f"Content-Length: {len(PING)}", body=PING) == (200, b"called: " + PING)
    for name, (lines, request) in ATTACKS.items():
        status, body = send(server, narrow, *lines, **request)
        allowed = (204,) if name == "OPTIONS" else (400, 401, 403, 405)
        assert (name, status in allowed, b"called" in body) == (name, True, False), (status, body)


@pytest.mark.requirement("resource-one-challenge-for-all-scopes")
def test_body_in_chunks_is_read_to_its_end(server: Live) -> None:
    status, body = send(server, server.token(), BEARER, JSON, CHUNKED, body=chunked(CALL[:50], CALL[50:]))
    assert status == 403
    assert b'"insufficient_scope"' in body
