"""What the middleware of a resource server elsewhere does besides refusing, which is in `test_refusals`."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest
from django.test import Client

from mcp_oidc.errors import UpstreamLoginRequired, UpstreamUnavailable
from mcp_oidc.protocol.jwks import SigningJwk, public_jwks
from mcp_oidc.resource.asgi_messages import Message, Receive, Scope, Send
from mcp_oidc.resource.remote import RemoteVerifier
from mcp_oidc.resource.remote_asgi import RemoteBearerMiddleware, get_principal
from mcp_oidc.resource.remote_mcp import transport_security
from tests.factories import ISSUER, RESOURCE
from tests.resource.entry_points import Call, call_asgi

pytestmark = pytest.mark.django_db

PATH = "/.well-known/oauth-protected-resource/mcp"
ELSEWHERE = "https://Tools.example/mcp"


def nobody(url: str) -> bytes:
    raise ConnectionRefusedError


@pytest.fixture
def verifier(signing_key: SigningJwk) -> RemoteVerifier:
    """Verifies by keys alone."""
    documents: dict[str, Any] = {
        f"{ISSUER}/.well-known/oauth-authorization-server": {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"},
        f"{ISSUER}/jwks": public_jwks([signing_key]),
    }
    return RemoteVerifier(ISSUER, RESOURCE, http=lambda url: json.dumps(documents[url]).encode())


async def unreachable(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("nothing gets here")


def published(method: str, **options: Any) -> Any:
    app = RemoteBearerMiddleware(unreachable, RemoteVerifier(ISSUER, RESOURCE, http=nobody), **options)
    return call_asgi(app, Call(method=method, headers={"Origin": "https://client.example"}), scope={"path": PATH})


@pytest.mark.requirement("remote-metadata")
def test_metadata_is_served_to_everybody_and_says_what_the_issuer_itself_would_say(signing_key: SigningJwk) -> None:
    answer = published("GET", scopes=["mcp"], name="Test tools")
    theirs = Client().get(PATH)
    assert (answer.status, answer.json) == (200, theirs.json())
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == theirs["Cache-Control"]
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.requirement("remote-metadata")
@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("OPTIONS", 204), ("POST", 405), ("DELETE", 405)])
def test_metadata_is_only_read(method: str, status: int) -> None:
    answer = published(method)
    assert (answer.status, answer.body) == (status, b"")


@pytest.mark.parametrize(
    ("error", "status"), [(UpstreamLoginRequired("no tokens"), 401), (UpstreamUnavailable("down"), 503)]
)
def test_app_that_needs_the_provider_is_answered_for(
    error: Exception, status: int, verifier: RemoteVerifier, access_token: str
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert get_principal().resource == RESOURCE
        raise error

    answer = call_asgi(RemoteBearerMiddleware(app, verifier), Call(authorization=f"Bearer {access_token}"))
    assert answer.status == status
    assert (answer.challenge is not None) == (status == 401)
    with pytest.raises(LookupError, match="no current principal"):
        get_principal()


def test_lifespans_pass_websockets_are_closed_and_nothing_else_is_let_through(verifier: RemoteVerifier) -> None:
    seen: list[str] = []
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        sent.append(message)

    guard = RemoteBearerMiddleware(app, verifier)
    for kind in ("lifespan", "websocket"):
        asyncio.run(guard({"type": kind}, receive, send))
    with pytest.raises(ValueError, match="telepathy"):
        asyncio.run(guard({"type": "telepathy"}, receive, send))
    assert seen == ["lifespan"]
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_sdk_is_told_of_hosts_and_origins_as_browsers_write_them() -> None:
    settings = transport_security(RemoteVerifier(ISSUER, ELSEWHERE, http=nobody), origins=["https://app.example"])
    assert settings.allowed_hosts == ["tools.example"]
    assert settings.allowed_origins == ["http://testserver", "https://app.example", "https://tools.example"]


@pytest.mark.parametrize("module", ["remote", "remote_asgi", "remote_mcp"])
def test_it_is_imported_where_there_is_no_django(module: str) -> None:
    blocked = ("django", "rest_framework", "oauth2_provider", "mozilla_django_oidc")
    program = f"import sys\nfor name in {blocked}: sys.modules[name] = None\nimport mcp_oidc.resource.{module}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
