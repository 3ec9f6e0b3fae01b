"""The tour: the official MCP client does by itself all that happens between a user's first click and the last token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from asgiref.sync import sync_to_async
from mcp.client import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata, OAuthToken

from sample_project.demo.browser import DemoBrowser
from sample_project.demo.storage import MemoryStorage

REDIRECT_URI = "http://127.0.0.1:33418/callback"
Report = Callable[[str], None]


class Tour:
    """Walks one user through everything; `report` is told each step, and each exchange without its secrets."""

    def __init__(self, base_url: str, *, user: str, report: Report) -> None:
        self.mcp_url = f"{base_url}/mcp"
        self.base_url = base_url
        self.report = report
        self.browser = DemoBrowser(user)
        self.storage = MemoryStorage()

    async def run(self) -> None:
        """All steps, in order. Raises what goes wrong."""
        self.report("1. First connection: discovery, registration, login, consent, token")
        async with self._client() as client:
            await self._call_tools(client)
        self.report("4. Back on the refresh token alone, as after a night")
        before = self._tokens()
        # What a client has left when its access token has expired.
        self.storage.tokens = before.model_copy(update={"access_token": ""})
        async with self._client() as client:
            await self._call(client, "whoami")
        if self._tokens().refresh_token == before.refresh_token:
            raise RuntimeError("The refresh token did not rotate.")
        self.report("5. Revocation: the token dies at once")
        await self._revoke()

    async def _call_tools(self, client: Client) -> None:
        self.report("2. Tools: who is calling, and what the identity provider says with the user's own token")
        await self._call(client, "whoami")
        await self._call(client, "profile")
        self.report("3. Step-up: writing needs a scope that the client did not ask for")
        await self._call(client, "add_note", text="Written by the demo")
        await self._call(client, "list_notes")

    async def _call(self, client: Client, tool: str, **arguments: Any) -> None:
        result = await client.call_tool(tool, arguments)
        if result.is_error:
            raise RuntimeError(f"The tool {tool} failed: {result.content}")
        self.report(f"     {tool}: {result.structured_content}")

    async def _revoke(self) -> None:
        tokens, client_info = self._tokens(), self.storage.client_info
        if client_info is None:
            raise RuntimeError("The client was not registered.")
        form = {"token": tokens.refresh_token or "", "client_id": client_info.client_id}
        async with httpx2.AsyncClient(event_hooks={"response": [self._show]}) as http:
            (await http.post(f"{self.base_url}/token/revocation", data=form)).raise_for_status()
            headers = {"Authorization": f"Bearer {tokens.access_token}"}
            response = await http.post(self.mcp_url, json={}, headers=headers)
        if response.status_code != 401:
            raise RuntimeError(f"A revoked token was answered with {response.status_code}.")

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        """A new MCP client that finds what the last one stored."""
        provider = OAuthClientProvider(
            server_url=self.mcp_url,
            client_metadata=OAuthClientMetadata(client_name="Demo tour", redirect_uris=[REDIRECT_URI]),  # type: ignore[list-item]  # pydantic parses it
            storage=self.storage,
            redirect_handler=self._open_browser,
            callback_handler=self._wait_for_callback,
        )
        async with (
            httpx2.AsyncClient(auth=provider, timeout=30, event_hooks={"response": [self._show]}) as http,
            Client(streamable_http_client(self.mcp_url, http_client=http)) as client,
        ):
            yield client

    async def _open_browser(self, url: str) -> None:
        self.report(f"     the browser opens {url.partition('?')[0]}: login at the identity provider, then consent")
        self._answer = await sync_to_async(self.browser.authorize, thread_sensitive=False)(url, REDIRECT_URI)

    async def _wait_for_callback(self) -> AuthorizationCodeResult:
        answer = self._answer
        if "error" in answer:
            raise RuntimeError(f"The authorization ended with {answer['error']}.")
        return AuthorizationCodeResult(code=answer["code"], state=answer.get("state"), iss=answer.get("iss"))

    async def _show(self, response: httpx2.Response) -> None:
        request = response.request
        told = await _told(response)
        self.report(
            f"     {request.method} {request.url.copy_with(query=None)} -> {response.status_code} {told}".rstrip()
        )

    def _tokens(self) -> OAuthToken:
        if self.storage.tokens is None:
            raise RuntimeError("The client holds no tokens.")
        return self.storage.tokens


async def _told(response: httpx2.Response) -> str:
    """What the answer says that is worth reading and no secret: none of the tokens, codes and verifiers."""
    if response.status_code in (401, 403):
        return response.headers.get("WWW-Authenticate", "")
    path = response.request.url.path
    if not (path.startswith("/.well-known/") or path in ("/register", "/token")):
        return ""
    await response.aread()
    answer = response.json()
    return ", ".join(f"{name}: {answer[name]}" for name in _TOLD if name in answer)


_TOLD = (
    "resource",
    "authorization_servers",
    "issuer",
    "client_id",
    "redirect_uris",
    "token_endpoint_auth_method",
    "token_type",
    "expires_in",
    "scope",
    "error",
)
