"""Whole journeys of the official MCP client, nothing of it patched, against a live server and identity provider."""

from __future__ import annotations

import asyncio

import pytest
import requests

from sample_project.demo.browser import DemoBrowser
from tests.journeys.mcp_users import Denied, McpUser
from tests.journeys.servers import Sample

CURSOR = "cursor://anysphere.cursor-mcp/oauth/callback"


class DenyingBrowser(DemoBrowser):
    """Logs in, and says no at the consent page."""

    def answer(self, page: str) -> dict[str, str]:
        return {"decision": "deny"} if 'name="decision"' in page else super().answer(page)


class StrictBrowser(DemoBrowser):
    """Knows the form of the strict provider, and says yes there or no."""

    def __init__(self, user: str, decision: str) -> None:
        super().__init__(user)
        self.decision = decision

    def answer(self, page: str) -> dict[str, str]:
        return {"sub": self.user, "decision": self.decision} if "/decide" in page else super().answer(page)


def test_first_connection_goes_through_discovery_registration_login_consent_and_token(sample: Sample) -> None:
    alice = McpUser(sample.mcp_url, DemoBrowser("alice"))
    who = asyncio.run(alice.call("whoami"))
    assert who["user"] == "alice"
    assert who["claims"]["email"] == "alice@example.com"
    assert who["scopes"] == ["mcp"]
    assert alice.requests[0] == "POST /mcp 401"
    for line in (
        "GET /.well-known/oauth-protected-resource/mcp 200",
        "GET /.well-known/oauth-authorization-server 200",
        "POST /register 201",
        "POST /token 200",
    ):
        assert line in alice.requests


def test_profile_asks_the_identity_provider_with_the_users_own_token(sample: Sample) -> None:
    alice = McpUser(sample.mcp_url, DemoBrowser("alice"))
    assert asyncio.run(alice.call("profile"))["email"] == "alice@example.com"


def test_reconnection_needs_the_refresh_token_alone(sample: Sample) -> None:
    alice = McpUser(sample.mcp_url, DemoBrowser("alice"))
    asyncio.run(alice.call("whoami"))
    alice.lose_access_token()
    alice.forget_requests()
    assert asyncio.run(alice.call("whoami"))["user"] == "alice"
    assert alice.requests[0] == "POST /token 200"
    assert alice.asked("/register") == alice.asked("/authorize") == 0


@pytest.mark.requirement("clients-restart")
def test_a_restart_of_the_server_logs_nobody_out(sample: Sample) -> None:
    alice = McpUser(sample.mcp_url, DemoBrowser("alice"))
    asyncio.run(alice.call("whoami"))
    sample.stop()
    sample.start()
    alice.forget_requests()
    asyncio.run(alice.call("whoami"))
    alice.lose_access_token()
    asyncio.run(alice.call("whoami"))
    assert alice.asked("/authorize") == alice.asked("/register") == 0


def test_two_users_in_two_browsers_are_two_users(sample: Sample) -> None:
    async def both() -> tuple[str, str]:
        alice, bob = (McpUser(sample.mcp_url, DemoBrowser(name)) for name in ("alice", "bob"))
        first, second = await asyncio.gather(alice.call("whoami"), bob.call("whoami"))
        return first["user"], second["user"]

    assert asyncio.run(both()) == ("alice", "bob")


def test_cursors_private_use_redirect_works(sample: Sample) -> None:
    alice = McpUser(sample.mcp_url, DemoBrowser("alice"), redirect_uri=CURSOR, application_type="web")
    assert asyncio.run(alice.call("whoami"))["user"] == "alice"


def test_a_tool_that_needs_more_sends_the_client_through_step_up(sample: Sample) -> None:
    alice = McpUser(sample.mcp_url, DemoBrowser("alice"))
    asyncio.run(alice.call("whoami"))
    alice.forget_requests()
    asyncio.run(alice.call("add_note", text="from a journey"))
    # Once, and then the very call succeeds.
    assert alice.requests.count("POST /mcp 403") == alice.requests.count("BROWSER /authorize") == 1
    assert "POST /mcp 200" in alice.requests[alice.requests.index("POST /mcp 403") :]
    assert alice.storage.tokens is not None
    assert set((alice.storage.tokens.scope or "").split()) == {"mcp", "notes:write"}
    assert "from a journey" in asyncio.run(alice.call("list_notes"))["result"]


def test_a_provider_that_insists_on_secret_pkce_and_redirect_uri_is_content(strict_sample: Sample) -> None:
    alice = McpUser(strict_sample.mcp_url, StrictBrowser("alice", "allow"))
    assert asyncio.run(alice.call("profile"))["email"] == "alice@example.com"


def test_a_user_who_says_no_at_the_consent_page_gives_the_client_access_denied(sample: Sample) -> None:
    assert_denied(McpUser(sample.mcp_url, DenyingBrowser("alice")), sample.url)


def test_a_user_who_says_no_at_the_identity_provider_gives_the_client_access_denied(strict_sample: Sample) -> None:
    assert_denied(McpUser(strict_sample.mcp_url, StrictBrowser("alice", "deny")), strict_sample.url)


def assert_denied(user: McpUser, issuer: str) -> None:
    """The client hears of it in OAuth's terms, and asks for no token."""
    with pytest.raises(BaseExceptionGroup) as caught:
        asyncio.run(user.call("whoami"))
    assert caught.group_contains(Denied)
    assert user.answer["error"] == "access_denied"
    assert user.answer["iss"] == issuer
    assert user.answer["state"]
    assert user.asked("/token") == 0


def test_a_token_that_is_revoked_is_dead_at_the_next_call(sample: Sample) -> None:
    alice = McpUser(sample.mcp_url, DemoBrowser("alice"))
    asyncio.run(alice.call("whoami"))
    tokens, client = alice.storage.tokens, alice.storage.client_info
    assert tokens is not None
    assert client is not None
    headers = {"Authorization": f"Bearer {tokens.access_token}"}
    assert requests.post(sample.mcp_url, json={}, headers=headers).status_code != 401
    form = {"token": tokens.refresh_token, "client_id": client.client_id}
    assert requests.post(f"{sample.url}/token/revocation", data=form).status_code == 200
    assert requests.post(sample.mcp_url, json={}, headers=headers).status_code == 401


def test_a_token_for_one_endpoint_does_not_open_the_other(sample: Sample) -> None:
    alice = McpUser(sample.mcp_url, DemoBrowser("alice"))
    asyncio.run(alice.call("whoami"))
    assert alice.storage.tokens is not None
    headers = {"Authorization": f"Bearer {alice.storage.tokens.access_token}"}
    assert requests.post(f"{sample.mcp_url}/plain", json={}, headers=headers).status_code == 401


def test_the_plain_django_view_is_a_resource_of_its_own(sample: Sample) -> None:
    bob = McpUser(f"{sample.mcp_url}/plain", DemoBrowser("bob"))

    async def greet() -> str:
        async with bob.connected() as client:
            result = await client.call_tool("greet", {})
        return str(getattr(result.content[0], "text", ""))

    assert asyncio.run(greet()) == "Hello, bob"
