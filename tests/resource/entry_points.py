"""Every way into a protected endpoint, called alike: a request in, an answer out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections
from django.test import AsyncClient, Client

from mcp_oidc.resource.asgi import BearerMiddleware
from mcp_oidc.resource.asgi_messages import PRINCIPAL_KEY, ASGIApp, Message, Receive, Scope, Send
from mcp_oidc.resource.context import get_principal
from mcp_oidc.resource.idp_tokens import aget_idp_tokens
from tests.resource.answers import describe
from tests.resource.installed import is_installed
from tests.resource.lifespans import Lifespans
from tests.resource.remote_entry_point import remote_app


@dataclass(frozen=True)
class Call:
    """A request to `place`, which is mcp, plain or scoped. `authorization` is the header's whole value."""

    place: str = "mcp"
    authorization: str | None = None
    method: str = "POST"
    query: str = ""
    body: bytes = b"{}"
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_headers(self) -> dict[str, str]:
        credentials = {} if self.authorization is None else {"Authorization": self.authorization}
        return {**self.headers, **credentials}


@dataclass(frozen=True)
class Answer:
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def challenge(self) -> str | None:
        return self.headers.get("www-authenticate")


EntryPoint = Callable[[Call], Answer]
METHODS = ("POST", "GET", "DELETE")


def django_entry_point(prefix: str) -> EntryPoint:
    """The views below `prefix`, by way of Django's own handler, with CSRF checks on."""

    def call(request: Call) -> Answer:
        client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        response = client.generic(**_arguments(prefix, request))
        return Answer(response.status_code, _lower(response.headers), response.content)

    return call


def async_django_entry_point(prefix: str) -> EntryPoint:
    """The same by way of Django's ASGI handler."""

    def call(request: Call) -> Answer:
        answer: Answer = _lifespans().run(send(request))
        return answer

    async def send(request: Call) -> Answer:
        client = AsyncClient(enforce_csrf_checks=True, raise_request_exception=False)
        response = await client.generic(**_arguments(prefix, request))
        return Answer(response.status_code, _lower(response.headers), response.content)

    return call


def asgi_entry_point(request: Call) -> Answer:
    """A small ASGI app behind the middleware."""
    return call_asgi(ASGI_APPS[request.place], request)


def remote_entry_point(request: Call) -> Answer:
    """The same behind the middleware of a resource server elsewhere, which asks the issuer."""
    return call_asgi(remote_app(request.place), request)


def call_asgi(app: ASGIApp, request: Call, *, scope: Mapping[str, Any] | None = None) -> Answer:
    """Send one request to an ASGI app, in this process."""
    return asyncio.run(acall_asgi(app, request, scope=scope))


async def acall_asgi(app: ASGIApp, request: Call, *, scope: Mapping[str, Any] | None = None) -> Answer:
    """The same from an event loop that is there already."""
    sent: list[Message] = []
    headers = {"host": "testserver", "content-type": request.content_type, **request.all_headers}
    asked: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": request.method,
        "path": "/mcp",
        "raw_path": b"/mcp",
        "query_string": request.query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": ("127.0.0.1", 50000),
        "server": ("testserver", 80),
        **(scope or {}),
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(asked, receive, send)
    return _answer(sent)


def _answer(sent: list[Message]) -> Answer:
    start = sent[0]
    headers = [(name.decode(), value.decode("latin-1")) for name, value in start["headers"]]
    assert len({name for name, _ in headers}) == len(headers), "a header was sent twice"
    return Answer(start["status"], dict(headers), b"".join(message.get("body", b"") for message in sent[1:]))


async def small_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with who calls."""
    principal = scope[PRINCIPAL_KEY]
    assert get_principal() is principal
    body = json.dumps(describe(principal, "")).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


async def tokens_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Needs the user's tokens of the identity provider before it answers."""
    await aget_idp_tokens()
    await small_app(scope, receive, send)


ASGI_APPS = {
    "mcp": BearerMiddleware(small_app),
    "plain": BearerMiddleware(small_app, "/mcp/plain"),
    "scoped": BearerMiddleware(small_app, scopes=("notes:write",)),
    "tokens": BearerMiddleware(tokens_app),
}

# Those that need no package besides. They take any body.
ENTRY_POINTS: dict[str, EntryPoint] = {
    "decorator": django_entry_point("sync"),
    "async decorator": async_django_entry_point("async"),
    "mixin": django_entry_point("mixin"),
    "async mixin": async_django_entry_point("async-mixin"),
    "drf": django_entry_point("drf"),
    "asgi": asgi_entry_point,
}


@dataclass(frozen=True)
class Kind:
    """An entry point, and how it differs: what it has to have installed, what it serves, and who refuses."""

    call: EntryPoint
    package: str = ""
    # What it does not serve is a 405 for everybody.
    methods: tuple[str, ...] = METHODS
    # Whether refusals are ours, word for word, or a framework's own, which knows less.
    is_ours: bool = True
    # Whether it looks into the database itself.
    has_database: bool = True


def mcp_entry_point(name: str) -> EntryPoint:
    """A server of `tests.resource.mcp_apps`, started when it is first called."""

    def call(request: Call) -> Answer:
        app = _running(name, request.place, repr(settings.MCP_OIDC))
        answer: Answer = _lifespans().run(acall_asgi(app, request))
        return answer

    return speaking_mcp(call)


def speaking_mcp(call: EntryPoint) -> EntryPoint:
    """What is let through calls the tool `whoami`, and the text of the tool is taken for the answer."""

    def call_tool(request: Call) -> Answer:
        accept = {"Accept": "application/json, text/event-stream"}
        body = CALL_WHOAMI if request.body == Call.body else request.body
        answer = call(replace(request, body=body, headers={**accept, **request.headers}))
        if answer.status != 200:
            return answer
        return replace(answer, body=answer.json["result"]["content"][0]["text"].encode())

    return call_tool


def stop_servers() -> None:
    """Stop the servers that were started, in the end."""
    if _lifespans.cache_info().currsize:
        # Of the thread in which Django runs synchronous code of requests that it serves asynchronously.
        _lifespans().run(sync_to_async(connections.close_all)())
        _lifespans().stop()


CALL_WHOAMI = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}}'
EVERY_ENTRY_POINT: dict[str, Kind] = {
    **{name: Kind(call) for name, call in ENTRY_POINTS.items()},
    "elsewhere": Kind(remote_entry_point, has_database=False),
    "mcp SDK": Kind(mcp_entry_point("mcp SDK"), "mcp 2"),
    "mcp SDK with auth": Kind(mcp_entry_point("mcp SDK with auth"), "mcp 2", is_ours=False),
    "FastMCP": Kind(mcp_entry_point("FastMCP"), "fastmcp"),
    "FastMCP with auth": Kind(mcp_entry_point("FastMCP with auth"), "fastmcp"),
    "django-ninja": Kind(django_entry_point("ninja"), "django-ninja"),
    "async django-ninja": Kind(async_django_entry_point("async-ninja"), "django-ninja"),
    "django-mcpz": Kind(speaking_mcp(django_entry_point("mcpz")), "django-mcpz", methods=("POST",)),
    "django-mcp-server": Kind(speaking_mcp(django_entry_point("mcp-server")), "django-mcp-server"),
}


def entry_points(which: Callable[[Kind], bool] = lambda kind: True) -> pytest.MarkDecorator:
    """Runs a test with each of them as `kind`."""
    chosen = {name: kind for name, kind in EVERY_ENTRY_POINT.items() if which(kind)}
    missing = {
        name: pytest.mark.skip(reason=f"{kind.package} is not installed")
        for name, kind in chosen.items()
        if kind.package and not is_installed(kind.package)
    }
    return pytest.mark.parametrize(
        "kind", [pytest.param(kind, id=name, marks=missing.get(name, ())) for name, kind in chosen.items()]
    )


every_entry_point = entry_points()
every_one_of_ours = entry_points(lambda kind: kind.is_ours)
every_one_with_a_database = entry_points(lambda kind: kind.has_database)


@lru_cache(maxsize=1)
def _lifespans() -> Lifespans:
    return Lifespans()


@lru_cache(maxsize=64)
def _running(name: str, place: str, settings_of_then: str) -> ASGIApp:
    """An app for each place and all settings, some of which are read only when it is made."""
    from tests.resource.mcp_apps import BUILDERS, PLACES  # needs packages that need not be there

    app = BUILDERS[name](*PLACES[place])
    _lifespans().start(app)
    return app


def _arguments(prefix: str, request: Call) -> dict[str, Any]:
    return {
        "method": request.method,
        "path": f"/{prefix}/{request.place}?{request.query}",
        "data": request.body,
        "content_type": request.content_type,
        "headers": request.all_headers,
    }


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
