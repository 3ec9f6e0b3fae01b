"""Pages that get a person out of what went wrong, and policies of the site that must not stop an answer."""

from __future__ import annotations

from pathlib import Path

import django
import pytest
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import Client as Browser
from django.test import override_settings

from mcp_oidc.models import AbstractClient, Connection
from tests.policies import SITE_POLICY
from tests.server.authorizations import answer_of, authorize_url, form_of, press, text_of

DOCS = Path(__file__).resolve().parents[2] / "docs"
CSP = "Content-Security-Policy"


@pytest.mark.requirement("clients-form-action")
@pytest.mark.requirement("csp-form-action")
@pytest.mark.parametrize(
    "middleware",
    [
        "tests.policies.strict_policy",
        pytest.param(
            "django.middleware.csp.ContentSecurityPolicyMiddleware",
            marks=pytest.mark.skipif(django.VERSION < (6, 0), reason="Django before 6.0 has no policy of its own"),
        ),
    ],
)
def test_policy_of_the_site_does_not_stop_the_answer(
    browser: Browser, public_client: AbstractClient, middleware: str
) -> None:
    with override_settings(MIDDLEWARE=[middleware, *settings.MIDDLEWARE], SECURE_CSP=SITE_POLICY):
        assert "form-action" in browser.get("/nowhere")[CSP]
        page = browser.get(authorize_url(public_client))
        # A browser holds the redirect after a form against the policy of the page that the form stood on.
        assert "form-action" not in page[CSP]
        assert "code" in answer_of(press(browser, page, "allow"))


@pytest.mark.requirement("csrf-page")
@pytest.mark.parametrize("has_middleware", [True, False])
def test_form_without_its_token_gets_a_page_that_starts_again(
    browser: Browser, public_client: AbstractClient, has_middleware: bool
) -> None:
    url = authorize_url(public_client, state='"><script>')
    middleware = [path for path in settings.MIDDLEWARE if has_middleware or "csrf" not in path]
    with override_settings(MIDDLEWARE=middleware, CSRF_FAILURE_VIEW="tests.server.test_pages.not_ours"):
        form = {**form_of(browser.get(url)), "csrfmiddlewaretoken": "x" * 64, "decision": "allow"}
        page = browser.post(url, form)
        assert page.status_code == 403
        assert "That did not work" in text_of(page)
        assert "frame-ancestors 'none'" in page[CSP]
        assert "no-store" in page["Cache-Control"]
        assert not Connection.objects.exists()
        again = browser.get(link_of(page))
        assert "code" in answer_of(press(browser, again, "allow"))


@pytest.mark.requirement("csrf-page")
def test_logout_without_its_token_gets_that_page_too(browser: Browser) -> None:
    page = browser.post("/oauth/logout")
    assert page.status_code == 403
    assert link_of(page) == "/oauth/logout"
    assert "_auth_user_id" in browser.session


def not_ours(request: HttpRequest, reason: str = "") -> HttpResponse:
    raise AssertionError("the project's own failure view was asked")


def link_of(page: HttpResponse) -> str:
    """Where the button of an error page leads."""
    text = page.content.decode()
    return text.split('class="button primary" href="')[1].split('"')[0].replace("&amp;", "&")


@pytest.mark.requirement("forget-advice")
@pytest.mark.parametrize("changes", [{"client_id": "unknown"}, {"redirect_uri": "https://elsewhere.example/cb"}])
def test_unknown_client_or_redirect_says_how_each_app_forgets(
    stranger: Browser, public_client: AbstractClient, changes: dict[str, str]
) -> None:
    page = text_of(stranger.get(authorize_url(public_client, **changes)))
    for app in ("Claude", "Claude Code", "ChatGPT", "Cursor", "VS Code", "Windsurf", "mcp-remote", "MCP Inspector"):
        assert f" {app} " in page
    assert "Any other app Remove this server from the app and add it again." in page


def test_broken_request_is_not_a_matter_of_forgetting(stranger: Browser, public_client: AbstractClient) -> None:
    assert "mcp-remote" not in text_of(stranger.get(authorize_url(public_client, client_id=None)))


def test_project_puts_its_name_and_its_colours_on_every_page_as_documented(browser: Browser, tmp_path: Path) -> None:
    example = (DOCS / "pages.md").read_text().split("```html\n")[1].split("```")[0]
    own = tmp_path / "mcp_oidc" / "base.html"
    own.parent.mkdir()
    own.write_text(example)
    with override_settings(TEMPLATES=[{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]):
        page = browser.get("/oauth/connections").content.decode()
    assert '<img src="/static/acme.svg" alt="Acme"' in page
    assert "img-src 'self'" in browser.get("/oauth/connections")[CSP]
    assert page.index("--mcp-accent: #1d4ed8") < page.index("--mcp-accent: #0b6b4f") < page.index("</style>")
    assert page.index("</main>") < page.index('<footer><a href="/privacy">')
    assert "No app is connected." in page


def test_project_replaces_a_block_of_the_page(browser: Browser, public_client: AbstractClient, tmp_path: Path) -> None:
    own = tmp_path / "mcp_oidc" / "consent.html"
    own.parent.mkdir()
    own.write_text('{% extends "mcp_oidc/consent.html" %}{% block question %}Let this app in?{% endblock %}')
    with override_settings(TEMPLATES=[{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]):
        page = browser.get(authorize_url(public_client))
    assert text_of(page).startswith("testserver Let this app in? Test client")
    assert "code" in answer_of(press(browser, page, "allow"))
