"""A user with the official MCP client: its OAuthClientProvider as it is, a browser, and what is kept between runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from asgiref.sync import sync_to_async
from mcp.client import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

from sample_project.demo.browser import DemoBrowser
from sample_project.demo.storage import MemoryStorage

LOOPBACK = "http://127.0.0.1:33418/callback"


class Denied(Exception):
    """The redirect URI got an error; the parameters are its argument."""


class McpUser:
    """One person with one client. `requests` lists what the client sent, as "METHOD path status"."""

    def __init__(self, mcp_url: str, browser: DemoBrowser, *, redirect_uri: str = LOOPBACK, **metadata: Any) -> None:
        self.mcp_url = mcp_url
        self.browser = browser
        self.redirect_uri = redirect_uri
        self.metadata = OAuthClientMetadata.model_validate(
            {"client_name": "Journey", "redirect_uris": [redirect_uri], **metadata}
        )
        self.storage = MemoryStorage()
        self.requests: list[str] = []
        self.answer: dict[str, str] = {}

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        """A new client, as after a restart, that finds what the last one stored."""
        provider = OAuthClientProvider(
            server_url=self.mcp_url,
            client_metadata=self.metadata,
            storage=self.storage,
            redirect_handler=self._open_browser,
            callback_handler=self._wait_for_callback,
        )
        async with (
            httpx2.AsyncClient(auth=provider, timeout=30, event_hooks={"response": [self._note]}) as http,
            Client(streamable_http_client(self.mcp_url, http_client=http)) as client,
        ):
            yield client

    async def call(self, tool: str, **arguments: Any) -> Any:
        """What a tool returns, through a client of its own."""
        async with self.connected() as client:
            result = await client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        return result.structured_content

    def lose_access_token(self) -> None:
        """Keep the refresh token alone, as a client does whose access token has expired."""
        assert self.storage.tokens is not None
        self.storage.tokens = self.storage.tokens.model_copy(update={"access_token": ""})

    def forget_requests(self) -> None:
        self.requests.clear()

    def asked(self, path: str) -> int:
        """How many requests went to a path."""
        return sum(line.split()[1] == path for line in self.requests)

    async def _open_browser(self, url: str) -> None:
        authorize = sync_to_async(self.browser.authorize, thread_sensitive=False)
        self.requests.append("BROWSER /authorize")
        self.answer = await authorize(url, self.redirect_uri)

    async def _wait_for_callback(self) -> AuthorizationCodeResult:
        if "error" in self.answer:
            raise Denied(self.answer)
        return AuthorizationCodeResult(
            code=self.answer["code"], state=self.answer.get("state"), iss=self.answer.get("iss")
        )

    async def _note(self, response: httpx2.Response) -> None:
        self.requests.append(f"{response.request.method} {response.request.url.path} {response.status_code}")
