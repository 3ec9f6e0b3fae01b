"""Every page of ours, in light and dark, on a phone and on a desk: nothing is cut off, and axe finds nothing.

Screenshots lie in the temporary directory that pytest keeps, below `screens`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.callbacks import Callbacks
from tests.browser.looks import look_at, look_at_phone
from tests.browser.people import authorize_url, register, trust
from tests.journeys.servers import Sample

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Visit

pytestmark = pytest.mark.long

LOOPBACK = "http://127.0.0.1:33418/callback"
CURSOR = "cursor://anysphere.cursor-mcp/oauth/callback"
CLAUDE = "https://claude.ai/api/mcp/auth_callback"
EVIL = "https://claude.ai.login.evil-and-long-winded.example:8443/cb"
Opener = Callable[["Visit", Sample], "Page"]

EVIL_NAME = "Claude\u202e<b>\u200b. Checked by the people who run this server. You can allow it without a doubt. Yes."


def consent(name: str, uri: str) -> Opener:
    """Opens the consent page for a client of this name and redirect URI."""

    def opened(visit: Visit, site: Sample) -> Page:
        return visit(authorize_url(site, register(site, uri, name), uri))

    return opened


def trusted(visit: Visit, site: Sample) -> Page:
    client_id = register(site, CLAUDE, "Claude")
    trust(site, client_id)
    return visit(authorize_url(site, client_id, CLAUDE))


def at(path: str, *, is_alice: bool = True) -> Opener:
    """Opens a path of the site."""

    def opened(visit: Visit, site: Sample) -> Page:
        return visit(site.url + path, is_alice=is_alice)

    return opened


def unregistered_redirect(visit: Visit, site: Sample) -> Page:
    return visit(authorize_url(site, register(site, LOOPBACK, "App"), EVIL))


def without_cookie(visit: Visit, site: Sample) -> Page:
    page = consent("App", LOOPBACK)(visit, site)
    page.context.clear_cookies(name="sample_csrf")
    page.get_by_role("button", name="Allow").click()
    return page


PAGES: dict[str, Opener] = {
    "consent-web": consent("Claude", CLAUDE),
    "consent-loopback": consent("Claude Code", LOOPBACK),
    "consent-cursor": consent("Cursor", CURSOR),
    "consent-evil-name": consent(EVIL_NAME, LOOPBACK),
    "consent-imitation": consent("Claude", EVIL),
    "consent-trusted": trusted,
    "unknown-client": at("/authorize?client_id=unknown"),
    "unknown-redirect": unregistered_redirect,
    "broken-request": at("/authorize"),
    "login-failed": at("/oauth/callback?state=unknown&code=unknown"),
    "csrf": without_cookie,
    "admin-refused": at("/admin/"),
    "logout": at("/oauth/logout"),
    "logged-out": at("/oauth/logout", is_alice=False),
}


# In every language after the consent page, with at least one app connected.
IN_LANGUAGES = {
    "connections": "/oauth/connections",
    "unknown-client": "/authorize?client_id=unknown",
    "broken-request": "/authorize",
    "logout": "/oauth/logout",
}


@pytest.mark.requirement("pages-accessible")
@pytest.mark.parametrize("name", PAGES)
def test_page_fits_and_axe_finds_nothing(visit: Visit, site: Sample, screens: Path, axe: str, name: str) -> None:
    look_at(PAGES[name](visit, site), screens / name, axe)


@pytest.mark.requirement("pages-accessible")
@pytest.mark.requirement("translated")
@pytest.mark.parametrize("language", ["de", "fr", "es", "ja", "ar"])
def test_pages_in_another_language_fit_a_phone_and_axe_finds_nothing(
    visit: Visit, site: Sample, callbacks: Callbacks, screens: Path, axe: str, language: str
) -> None:
    client_id = register(site, callbacks.uri, "Claude Code")
    page = visit(authorize_url(site, client_id, callbacks.uri, ui_locales=language))
    html = page.locator("html")
    assert (html.get_attribute("lang"), html.get_attribute("dir")) == (language, "rtl" if language == "ar" else "ltr")
    look_at_phone(page, screens / f"consent-{language}", axe)
    page.locator("button[value=allow]").click()
    for name, path in IN_LANGUAGES.items():
        page.goto(f"{site.url}{path}{'&' if '?' in path else '?'}ui_locales={language}")
        look_at_phone(page, screens / f"{name}-{language}", axe)


@pytest.mark.requirement("pages-accessible")
def test_page_of_an_outage_fits_and_axe_finds_nothing(
    visit: Visit, site_without_database: Sample, screens: Path, axe: str
) -> None:
    page = visit(f"{site_without_database.url}/authorize?client_id=unknown")
    assert "cannot reach its database" in page.inner_text("main")
    look_at(page, screens / "database-down", axe)
