"""`BearerMiddleware`, beyond what every entry point does alike."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from mcp_oidc.errors import UpstreamLoginRequired
from mcp_oidc.resource.asgi import BearerMiddleware
from mcp_oidc.resource.asgi_messages import Message, Receive, Scope, Send
from mcp_oidc.resource.context import get_principal
from mcp_oidc.resource.workers import Workers
from tests.factories import ISSUER
from tests.resource.entry_points import ASGI_APPS, Answer, Call, call_asgi, small_app
from tests.resource.worlds import Issue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.resource.urls")]

INSPECTOR = "http://localhost:6274"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
app = ASGI_APPS["mcp"]


def test_token_sent_twice_is_refused(access_token: str) -> None:
    line = (b"authorization", f"Bearer {access_token}".encode())
    assert call_asgi(app, Call(), scope={"headers": [line, line]}).status == 400


@pytest.mark.requirement("resource-options-needs-no-token")
def test_preflight_is_answered_without_a_token() -> None:
    answer = call_asgi(app, Call(method="OPTIONS", headers={"Origin": INSPECTOR, **PREFLIGHT}))
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == INSPECTOR
    assert answer.headers["vary"] == "Origin"
    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "mcp-protocol-version", "mcp-session-id", "mcp-method", "mcp-name"} <= {
        *allowed
    }
    assert {"GET", "POST", "DELETE"} <= {*answer.headers["access-control-allow-methods"].split(", ")}
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.requirement("resource-checks-origin")
def test_preflight_of_a_foreign_origin_is_refused() -> None:
    answer = call_asgi(app, Call(method="OPTIONS", headers={"Origin": "https://evil.example", **PREFLIGHT}))
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers


def test_browser_can_read_the_challenge() -> None:
    answer = call_asgi(app, Call(headers={"Origin": INSPECTOR}))
    assert answer.status == 401
    assert answer.headers["access-control-allow-origin"] == INSPECTOR
    assert answer.headers["access-control-expose-headers"] == "WWW-Authenticate, Mcp-Session-Id"


def test_cors_headers_of_the_app_itself_do_not_double_ours(access_token: str) -> None:
    async def permissive(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"Access-Control-Allow-Origin", b"*")]})
        await send({"type": "http.response.body", "body": b""})

    answer = call_asgi(BearerMiddleware(permissive), bearer(access_token, Origin=INSPECTOR))
    assert {name.lower(): value for name, value in answer.headers.items()}["access-control-allow-origin"] == INSPECTOR


def test_options_without_an_origin_is_answered_too() -> None:
    assert call_asgi(app, Call(method="OPTIONS")).status == 204


def test_lifespan_is_passed_through() -> None:
    seen: list[Scope] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    asyncio.run(BearerMiddleware(inner)({"type": "lifespan"}, nothing_received, nothing_sent))
    assert [scope["type"] for scope in seen] == ["lifespan"]


def test_websocket_is_refused_before_it_reaches_the_app() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(BearerMiddleware(unreachable)({"type": "websocket", "headers": []}, nothing_received, send))
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]


def test_scope_of_an_unknown_type_is_not_passed_through() -> None:
    with pytest.raises(ValueError, match="'webtransport'"):
        asyncio.run(BearerMiddleware(unreachable)({"type": "webtransport"}, nothing_received, nothing_sent))


def test_body_reaches_the_app_whole_after_its_tools_were_looked_at(access_token: str) -> None:
    parts = [b'{"method": "to', b"ols/li", b'st"}']
    messages: list[Message] = [
        {"type": "http.request", "body": part, "more_body": part is not parts[-1]} for part in parts
    ]
    bodies: list[bytes] = []

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        bodies.append((await receive())["body"])
        assert (await receive())["type"] == "http.disconnect"

    with override_settings(MCP_OIDC={"ISSUER": ISSUER, "RESOURCES": {"/mcp": {"TOOL_SCOPES": {"a": ["b"]}}}}):
        asyncio.run(BearerMiddleware(inner)(http_scope(access_token), receive, nothing_sent))
    assert bodies == [b"".join(parts)]


def test_principal_is_not_seen_by_a_request_beside_it(issue: Issue) -> None:
    """Two requests wait for each other inside the app, so that both are under way at once."""
    barrier: list[asyncio.Event] = []
    seen: list[tuple[str, str]] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        barrier[0 if scope["path"] == "/one" else 1].set()
        await asyncio.gather(*(event.wait() for event in barrier))
        seen.append((scope["path"], get_principal().claims["jti"]))
        await small_app(scope, receive, send)

    async def both(tokens: list[str]) -> None:
        barrier.extend([asyncio.Event(), asyncio.Event()])
        middleware = BearerMiddleware(inner)
        paths = ["/one", "/two"]
        await asyncio.gather(
            *(
                middleware({**http_scope(token), "path": path}, nothing_received, nothing_sent)
                for token, path in zip(tokens, paths, strict=True)
            )
        )

    tokens = [issue().access_token, issue().access_token]
    asyncio.run(both(tokens))
    assert len({jti for _, jti in seen}) == 2


def test_error_of_the_app_that_only_a_login_cures_is_a_challenge(access_token: str) -> None:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        raise UpstreamLoginRequired

    answer = call_asgi(BearerMiddleware(inner), bearer(access_token))
    assert answer.status == 401
    assert answer.challenge is not None
    assert 'error="invalid_token"' in answer.challenge


def test_error_after_the_answer_has_begun_is_not_answered_twice(access_token: str) -> None:
    sent: list[Message] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise UpstreamLoginRequired

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(UpstreamLoginRequired):
        asyncio.run(BearerMiddleware(inner)(http_scope(access_token), nothing_received, send))
    assert len(sent) == 1


class TestIssuerWhileDebugging:
    """Without ISSUER it comes from the request, by Django's rules for Host."""

    @pytest.fixture(autouse=True)
    def _no_issuer(self) -> Iterator[None]:
        with override_settings(DEBUG=True, ALLOWED_HOSTS=[], MCP_OIDC={}):
            yield

    def test_host_of_the_request_names_the_server(self) -> None:
        answer = self.call(b"localhost:8000")
        assert answer.status == 401
        assert answer.challenge is not None
        assert "http://localhost:8000/.well-known/oauth-protected-resource/mcp" in answer.challenge

    def test_host_that_django_does_not_allow_is_a_bad_request(self) -> None:
        answer = self.call(b"evil.example")
        assert (answer.status, answer.json["error"]) == (400, "invalid_request")
        assert "evil.example" not in f"{answer.headers}{answer.body!r}"

    def test_forwarded_host_is_not_believed(self) -> None:
        answer = self.call(b"localhost:8000", (b"x-forwarded-host", b"evil.example"))
        assert "evil.example" not in str(answer.challenge)

    def test_query_that_is_no_text_does_no_harm(self) -> None:
        scope = {"headers": [(b"host", b"localhost")], "query_string": b"\xff\xfe"}
        assert call_asgi(app, Call(), scope=scope).status == 401

    def call(self, host: bytes, *headers: tuple[bytes, bytes]) -> Answer:
        return call_asgi(app, Call(), scope={"headers": [(b"host", host), *headers]})


def test_host_has_no_say_where_the_issuer_is_configured() -> None:
    answer = call_asgi(app, Call(), scope={"headers": [(b"host", b"evil.example")]})
    assert answer.status == 401
    assert "evil.example" not in str(answer.challenge)


def test_event_loop_goes_on_while_the_database_is_slow() -> None:
    asyncio.run(_run_beside_a_slow_call())


async def _run_beside_a_slow_call() -> None:
    release = threading.Event()
    slow = asyncio.ensure_future(Workers("slow", size=1, timeout=10).run(lambda: release.wait(10)))
    # The loop turns while the thread waits: only that lets the next line run.
    await asyncio.sleep(0)
    assert not slow.done()
    release.set()
    assert await slow is True


def test_verification_that_does_not_come_back_is_a_503(access_token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    busy = Workers("busy", size=1, timeout=0.05)
    monkeypatch.setattr("mcp_oidc.resource.gathering.verification_workers", busy)

    async def call_while_busy() -> Answer:
        blocked = asyncio.ensure_future(busy.run(lambda: release.wait(10)))
        await asyncio.sleep(0)
        answer = await asyncio.to_thread(call_asgi, app, bearer(access_token))
        release.set()
        await asyncio.gather(blocked, return_exceptions=True)
        return answer

    answer = asyncio.run(call_while_busy())
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0


def test_connection_of_a_worker_is_closed_when_it_is_too_old() -> None:
    workers = Workers("aged", size=1, timeout=10)

    def use() -> Any:
        connection.ensure_connection()
        return connection.connection

    def age() -> None:
        connection.close_at = time.monotonic() - 1

    async def use_twice() -> tuple[Any, Any]:
        first = await workers.run(use)
        await workers.run(age)
        return first, await workers.run(use)

    first, second = asyncio.run(use_twice())
    assert first is not second


def bearer(token: str, **headers: str) -> Call:
    return Call(authorization=f"Bearer {token}", headers=headers)


def http_scope(token: str) -> Scope:
    headers = [(b"host", b"testserver"), (b"authorization", f"Bearer {token}".encode())]
    return {"type": "http", "method": "POST", "path": "/mcp", "query_string": b"", "headers": headers}


async def unreachable(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the app must not be reached")


async def nothing_received() -> Message:
    return {"type": "http.disconnect"}


async def nothing_sent(message: Message) -> None:
    return None
