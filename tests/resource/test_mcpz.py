"""Servers of django-mcpz, driven by the official client, under uvicorn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

pytest.importorskip("django_mcpz", reason="django-mcpz is not installed")
pytest.importorskip("mcp.server.mcpserver", reason="mcp 2 is not installed")

from django.core.handlers.asgi import ASGIHandler
from django.urls import path
from django_mcpz.server import public

from mcp_oidc.core.upstream_tokens import IdpTokens, keep_tokens
from mcp_oidc.models import Identity
from mcp_oidc.resource.context import get_principal
from mcp_oidc.resource.decorators import protect
from tests.resource.doc_pages import run_block, serving_urls
from tests.resource.live import Live, live
from tests.resource.mcpz_urls import mcpz_server
from tests.resource.sdk_client import call_tool
from tests.resource.worlds import Issue

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(issue: Issue) -> Iterator[Live]:
    """The example of the documentation."""
    with serving_urls(run_block("protect/django-mcpz.md", 0)), live(issue, ASGIHandler) as up:
        yield up


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_example_of_the_documentation_knows_who_calls(mode: str, server: Live) -> None:
    result = asyncio.run(call_tool(server.resource, server.token(), "whoami", mode=mode))
    assert not result.is_error
    assert result.content[0].text == "alice"


def test_tools_have_the_idp_tokens_of_their_user(server: Live, identity: Identity) -> None:
    missing = asyncio.run(call_tool(server.resource, server.token(), "idp_token"))
    keep_tokens(identity, IdpTokens("a token of alice's", expires_at=None))
    found = asyncio.run(call_tool(server.resource, server.token(), "idp_token"))
    assert missing.is_error
    assert "The user has to log in again" in missing.content[0].text
    assert found.content[0].text == "a token of alice's"


def test_view_can_be_wrapped_for_tools_that_look_for_the_current_principal(issue: Issue) -> None:
    server = mcpz_server(public)
    server.tool(description="Who calls", name="current")(current)
    with serving_urls({"urlpatterns": [path("mcp", protect("/mcp")(server))]}), live(issue, ASGIHandler) as up:
        assert asyncio.run(call_tool(up.resource, up.token(), "current")).content[0].text == "alice"


def current(request: object) -> str:
    return str(get_principal().user.get_username())
