"""Products, as threads in public issue trackers describe what they register and send."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client as Browser
from django.test import override_settings

from tests.clients.replay import ReplayedClient, register
from tests.factories import ISSUER

GRANTS: dict[str, Any] = {
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
}
CLAUDE = {
    "client_name": "Claude",
    "redirect_uris": ["https://claude.ai/api/mcp/auth_callback"],
    "token_endpoint_auth_method": "none",
    "scope": "mcp",
    **GRANTS,
}
VS_CODE = {
    "client_name": "Visual Studio Code",
    "client_uri": "https://code.visualstudio.com",
    "redirect_uris": [
        "https://insiders.vscode.dev/redirect",
        "https://vscode.dev/redirect",
        "http://127.0.0.1/",
        "http://127.0.0.1:33418/",
    ],
    "token_endpoint_auth_method": "none",
    "application_type": "native",
    **GRANTS,
    "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
}
CURSOR_REDIRECTS = [
    "cursor://anysphere.cursor-mcp/oauth/callback",
    "cursor://anysphere.cursor-retrieval/oauth/user-mcp/callback",
    "http://localhost:8787/callback",
]
CURSOR = {
    "client_name": "Cursor",
    "application_type": "web",
    "redirect_uris": CURSOR_REDIRECTS,
    "token_endpoint_auth_method": "none",
    **GRANTS,
}
WINDSURF_REDIRECTS = ["windsurf://codeium.windsurf/oauth/callback", "http://127.0.0.1:54321/callback"]
WINDSURF = {"client_name": "Windsurf", "redirect_uris": WINDSURF_REDIRECTS, **GRANTS}
# As long as those that ChatGPT sends, which are signed tokens of its own.
CHATGPT_STATE = "oauth_s_" + "eyJhbGciOiJIUzI1NiJ9." * 25 + "~+/=é "

pytestmark = pytest.mark.usefixtures("signing_key")


@pytest.mark.requirement("clients-claude")
@pytest.mark.parametrize("host", ["claude.ai", "claude.com"])
def test_claude_on_web_and_desktop_connects_by_the_callback_of_either_name(
    db: None, browser: Browser, host: str
) -> None:
    callback = f"https://{host}/api/mcp/auth_callback"
    claude = ReplayedClient(register({**CLAUDE, "redirect_uris": [callback]}), callback)
    assert claude.connect(browser)["scope"] == "mcp"


@pytest.mark.requirement("clients-claude-code")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_claude_code_registers_loopback_without_a_port_and_comes_from_any(
    db: None, browser: Browser, host: str
) -> None:
    document = {**CLAUDE, "client_name": "Claude Code", "redirect_uris": [f"http://{host}/callback"]}
    registered = register(document)
    for port in (3118, 51773):
        ReplayedClient(registered, f"http://{host}:{port}/callback").connect(browser)


@pytest.mark.requirement("clients-few-addresses")
def test_users_of_a_product_that_share_an_address_do_not_lock_each_other_out(db: None, browser: Browser) -> None:
    limits = {"ISSUER": ISSUER, "REGISTRATIONS_PER_ADDRESS": 2, "REGISTRATIONS_PER_HOUR": 2}
    with override_settings(MCP_OIDC=limits):
        for _ in range(5):
            ReplayedClient(register(CLAUDE), CLAUDE["redirect_uris"][0]).connect(browser)


@pytest.mark.requirement("clients-chatgpt-state")
def test_chatgpts_long_state_comes_back_as_it_was(db: None, browser: Browser) -> None:
    callback = "https://chatgpt.com/connector_platform_oauth_redirect"
    registered = register({"client_name": "ChatGPT", "redirect_uris": [callback], **GRANTS})
    assert len(CHATGPT_STATE) > 520
    chatgpt = ReplayedClient(registered, callback, state=CHATGPT_STATE)
    assert chatgpt.log_in(browser)["state"] == CHATGPT_STATE


@pytest.mark.requirement("clients-vs-code")
@pytest.mark.parametrize(
    "redirect_uri",
    [*VS_CODE["redirect_uris"], "http://127.0.0.1:52117/"],
    ids=["insiders", "web", "portless", "33418", "random port"],
)
def test_vs_code_registers_four_redirects_and_comes_from_any_port(
    db: None, browser: Browser, redirect_uri: str
) -> None:
    registered = register(VS_CODE)
    assert registered["redirect_uris"] == VS_CODE["redirect_uris"]
    ReplayedClient(registered, redirect_uri).connect(browser)


@pytest.mark.requirement("clients-vs-code")
def test_vs_code_compares_the_resource_with_the_url_that_was_pasted(client: Browser) -> None:
    for path in ("/mcp", "/mcp/plain"):
        document = client.get(f"/.well-known/oauth-protected-resource{path}").json()
        assert document["resource"] == f"{ISSUER}{path}"


@pytest.mark.requirement("clients-cursor")
@pytest.mark.parametrize("redirect_uri", CURSOR_REDIRECTS, ids=["today", "older", "loopback"])
def test_cursor_connects_by_its_own_scheme_though_it_says_that_it_is_a_web_app(
    db: None, browser: Browser, redirect_uri: str
) -> None:
    registered = register(CURSOR)
    assert registered["application_type"] == "web"
    ReplayedClient(registered, redirect_uri).connect(browser)


@pytest.mark.requirement("clients-windsurf")
@pytest.mark.parametrize("redirect_uri", [*WINDSURF_REDIRECTS, "http://127.0.0.1:61000/callback"])
def test_windsurf_connects_by_its_own_scheme_and_by_loopback(db: None, browser: Browser, redirect_uri: str) -> None:
    ReplayedClient(register(WINDSURF), redirect_uri).connect(browser)
