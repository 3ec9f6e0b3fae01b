"""A project with django-mcp-server, driven by the official client, under uvicorn.

In an environment of its own, with version 1 of the `mcp` SDK:

    python -m pip install -e ".[mcp-server,test-base]"
    cd tests/resource
    python -m pytest --ds tests.projects.mcp_server -k "mcp-server or mcp_server" \\
        test_{django_mcp_server,refusals,call_scopes}.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("mcp_server", reason="django-mcp-server is not installed")

import httpx
from django.core.handlers.asgi import ASGIHandler
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from mcp_oidc.core.audit import NOBODY
from mcp_oidc.core.revocation import revoke_connection
from mcp_oidc.core.upstream_tokens import IdpTokens, keep_tokens
from mcp_oidc.models import Identity
from tests.resource.doc_pages import run_block, serving_urls
from tests.resource.forgery import claims_of
from tests.resource.live import Live, live
from tests.resource.worlds import Issue

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(issue: Issue) -> Iterator[Live]:
    """The example of the documentation."""
    with serving_urls(run_block("protect/django-mcp-server.md", 2)), live(issue, ASGIHandler) as up:
        yield up


async def call_tool(server: Live, token: str, name: str) -> Any:
    async with (
        httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http_client,
        streamable_http_client(server.resource, http_client=http_client) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        return await session.call_tool(name)


def test_example_of_the_documentation_knows_who_calls(server: Live) -> None:
    result = asyncio.run(call_tool(server, server.token(), "whoami"))
    assert not result.isError
    assert result.content[0].text == "alice"


def test_tools_have_the_idp_tokens_of_their_user(server: Live, identity: Identity) -> None:
    keep_tokens(identity, IdpTokens("a token of alice's", expires_at=None))
    result = asyncio.run(call_tool(server, server.token(), "idp_token"))
    assert result.content[0].text == "a token of alice's"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_request_without_a_good_token_is_told_where_to_get_one(method: str, server: Live) -> None:
    metadata = f'resource_metadata="{server.url}/.well-known/oauth-protected-resource/mcp"'
    dead = server.token()
    assert revoke_connection(claims_of(dead)["sid"], "test", caller=NOBODY)
    nothing = httpx.request(method, server.resource)
    revoked = httpx.request(method, server.resource, headers={"Authorization": f"Bearer {dead}"})
    assert nothing.status_code == revoked.status_code == 401
    assert nothing.headers["www-authenticate"] == f'Bearer scope="mcp", {metadata}'
    assert metadata in revoked.headers["www-authenticate"]
    assert revoked.json()["error"] == "invalid_token"
