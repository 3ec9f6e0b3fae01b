"""Journeys of mcp-remote, which speaks stdio to its host, opens the user's browser itself, and moves its port."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.journeys.node.desktop_browser import DesktopBrowser
from tests.journeys.node.node_users import params_of
from tests.journeys.servers import Sample, free_port

# mcp-remote waits for ever for a callback that does not come.
TIMEOUT_SECONDS = 60

pytestmark = pytest.mark.long


class RemoteUser:
    """alice, whose host runs mcp-remote anew for each call. It keeps its files in a directory of its own."""

    def __init__(self, mcp_url: str, node_home: Path, browser: DesktopBrowser, home: Path) -> None:
        self._program = [str(node_home / "node_modules/mcp-remote/dist/proxy.js"), mcp_url]
        self._environment = {**browser.environment, "MCP_REMOTE_CONFIG_DIR": str(home), "HOME": str(home)}
        self._home = home
        self.browser = browser

    def whoami(self, port: int | None = None) -> dict[str, Any]:
        """What the tool returns. `port` is where the host wants the callback; mcp-remote picks one otherwise."""
        return asyncio.run(self._call("whoami", {}, [] if port is None else [str(port)]))

    def add_note(self, text: str) -> None:
        """Call the tool that needs a scope of its own."""
        asyncio.run(self._call("add_note", {"text": text}, []))

    def kept(self, name: str) -> dict[str, Any]:
        """A file of mcp-remote's: client_info or tokens."""
        document: dict[str, Any] = json.loads(self._path(name).read_text())
        return document

    def lose_access_token(self) -> None:
        """Leave the refresh token alone, as after an hour."""
        # Not `expires_at` too: with it the client would refresh before it asks, and never see our 401.
        self._path("tokens").write_text(json.dumps({**self.kept("tokens"), "access_token": "expired"}))

    def forget_tokens(self) -> None:
        self._path("tokens").unlink()

    @property
    def redirect_uris(self) -> list[str]:
        """Where the browser was asked to come back to, at each login."""
        return [params_of(url)["redirect_uri"] for url in self.browser.opened]

    async def _call(self, tool: str, arguments: dict[str, str], options: list[str]) -> dict[str, Any]:
        server = StdioServerParameters(command="node", args=[*self._program, *options], env=self._environment)
        async with asyncio.timeout(TIMEOUT_SECONDS), Client(stdio_client(server)) as client:
            result = await client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        content: dict[str, Any] = result.structured_content or {}
        return content

    def _path(self, name: str) -> Path:
        (path,) = self._home.rglob(f"*_{name}.json")
        return path


@pytest.fixture
def alice(sample: Sample, node_home: Path, desktop_browser: DesktopBrowser, tmp_path: Path) -> RemoteUser:
    home = tmp_path / "mcp-auth"
    home.mkdir()
    return RemoteUser(sample.mcp_url, node_home, desktop_browser, home)


@pytest.mark.requirement("clients-mcp-remote-journey")
def test_mcp_remote_logs_in_calls_a_tool_and_comes_back_on_its_refresh_token(alice: RemoteUser) -> None:
    assert alice.whoami()["user"] == "alice"
    assert alice.kept("client_info")["token_endpoint_auth_method"] == "none"
    first = alice.kept("tokens")

    alice.lose_access_token()
    assert alice.whoami()["user"] == "alice"
    assert len(alice.browser.opened) == 1
    assert alice.kept("tokens")["refresh_token"] != first["refresh_token"]


@pytest.mark.requirement("clients-mcp-remote-port")
def test_mcp_remote_keeps_its_registration_when_its_port_is_taken(alice: RemoteUser) -> None:
    alice.whoami()
    client = alice.kept("client_info")
    alice.forget_tokens()
    port = int(alice.redirect_uris[0].split(":")[2].partition("/")[0])
    with closing(socket.create_server(("127.0.0.1", port))):
        assert alice.whoami()["user"] == "alice"
        alice.lose_access_token()
        assert alice.whoami()["user"] == "alice"
    assert alice.kept("client_info")["client_id"] == client["client_id"]
    assert alice.redirect_uris == [f"http://localhost:{number}/oauth/callback" for number in (port, port + 1)]


@pytest.mark.requirement("clients-mcp-remote-port")
def test_mcp_remote_recovers_by_itself_when_its_host_gives_it_another_port(alice: RemoteUser) -> None:
    # It throws its registration away but not its tokens, so that the refresh token is another client's.
    first, second = free_port(), free_port()
    alice.whoami(first)
    alice.lose_access_token()
    assert alice.whoami(second)["user"] == "alice"
    assert alice.redirect_uris == [f"http://localhost:{port}/oauth/callback" for port in (first, second)]
    alice.lose_access_token()
    assert alice.whoami(second)["user"] == "alice"
    assert len(alice.browser.opened) == 2


def test_a_tool_that_needs_more_sends_mcp_remote_through_step_up(alice: RemoteUser) -> None:
    alice.whoami()
    alice.add_note("from mcp-remote")
    assert [params_of(url)["scope"] for url in alice.browser.opened] == ["mcp", "mcp notes:write"]
