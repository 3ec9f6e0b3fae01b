"""What people and clients do before a page is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import requests

from mcp_oidc.protocol import pkce
from tests.browser.callbacks import Callbacks
from tests.journeys.servers import Sample

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Nothing of it talks to the network by itself.
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Letters without coloured edges: pictures are small, and the same everywhere.
    "--disable-lcd-text",
    # Nor do the pages of the provider, which ask for a style sheet elsewhere.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]


def log_in(page: Page, url: str, user: str) -> None:
    """Go to `url`, and log in where it leads."""
    page.goto(url)
    page.fill("input[name=sub]", user)
    with page.expect_navigation():
        page.press("input[name=sub]", "Enter")


def register(site: Sample, redirect_uri: str, name: str) -> str:
    """The id of a client that registered itself."""
    document = {"client_name": name, "redirect_uris": [redirect_uri]}
    client_id: str = requests.post(f"{site.url}/register", json=document).json()["client_id"]
    return client_id


def authorize_url(site: Sample, client_id: str, redirect_uri: str, **changes: str) -> str:
    """Where a client sends the browser."""
    params: dict[str, Any] = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": "openid profile mcp notes:write",
        "state": "af0ifjsldkj",
        "resource": site.mcp_url,
        "code_challenge": pkce.challenge_for(pkce.new_verifier()),
        "code_challenge_method": "S256",
        **changes,
    }
    return f"{site.url}/authorize?{urlencode(params)}"


def connect(page: Page, site: Sample, callbacks: Callbacks, name: str) -> dict[str, str]:
    """Allow a new client of this name, in the browser of `page`; its id and what it is given."""
    client_id, verifier = register(site, callbacks.uri, name), pkce.new_verifier()
    page.goto(authorize_url(site, client_id, callbacks.uri, code_challenge=pkce.challenge_for(verifier)))
    page.get_by_role("button", name="Allow").click()
    page.wait_for_url(f"{callbacks.uri}*")
    form = {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "code": callbacks.answers[-1]["code"],
        "redirect_uri": callbacks.uri,
        "code_verifier": verifier,
    }
    return {"client_id": client_id, **requests.post(f"{site.url}/token", data=form).json()}


def call(site: Sample, token: str) -> int:
    """The status of a call of the MCP endpoint with this token."""
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
    return requests.post(site.mcp_url, json=message, headers=headers).status_code


def trust(site: Sample, client_id: str) -> None:
    """What an operator does in the admin."""
    site.manage("shell", "-c", f"from mcp_oidc.models import Client; {_TRUST.format(client_id)}")


_TRUST = "Client.objects.filter(client_id={!r}).update(trust='trusted')"
