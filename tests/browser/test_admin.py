"""The admin in Chromium: an operator finds the client of a user and ends it, with or without a script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.callbacks import Callbacks
from tests.browser.looks import look_at
from tests.browser.people import connect, log_in
from tests.browser.test_connected_apps import EVIL_NAME, is_dead
from tests.journeys.servers import Sample

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.long

OPERATOR, PASSWORD = "operator", "a long password"
_CREATE = "from django.contrib.auth.models import User; User.objects.create_superuser({!r}, password={!r})"


@pytest.fixture(scope="module")
def operator_account(site: Sample) -> None:
    """A superuser of the site, with a password."""
    site.manage("shell", "-c", _CREATE.format(OPERATOR, PASSWORD))


@pytest.fixture(params=[True, False], ids=["script", "no-script"])
def operator(request: pytest.FixtureRequest, chromium: Browser, site: Sample, operator_account: None) -> Iterator[Page]:
    """The browser of an operator, at the admin's login page."""
    with chromium.new_context(java_script_enabled=request.param) as context:
        page = context.new_page()
        page.goto(f"{site.url}/admin/login/?password&next=/admin/")
        yield page


def log_in_as_operator(page: Page) -> None:
    """Fill in the admin's own form."""
    page.get_by_label("Username").fill(OPERATOR)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


@pytest.mark.requirement("admin-revokes-at-once")
@pytest.mark.requirement("admin-asks-first")
def test_operator_finds_the_client_of_a_user_and_ends_it(
    request: pytest.FixtureRequest, chromium: Browser, operator: Page, site: Sample, callbacks: Callbacks
) -> None:
    with chromium.new_context() as context:
        person, name = context.new_page(), f"person-{request.node.callspec.id}"
        log_in(person, f"{site.url}/oauth/login", f"{name}@example.com")
        wanted, other = (connect(person, site, callbacks, app) for app in ("Wanted app", "Other app"))
    assert [is_dead(site, each) for each in (wanted, other)] == [False, False]

    log_in_as_operator(operator)
    operator.get_by_role("link", name="Clients", exact=True).first.click()
    operator.locator("#searchbar").fill(f"{name} wanted")
    operator.get_by_role("button", name="Search").click()
    operator.locator("#result_list").get_by_role("link", name="Wanted app").click()
    operator.get_by_role("region", name="Living connections").locator("tbody tr").wait_for()
    operator.get_by_role("button", name="Revoke all access").click()
    operator.get_by_role("heading", name="Revoke all access of these clients?").wait_for()
    assert "Users who lose access: 1" in operator.inner_text("#content")
    assert not is_dead(site, wanted)
    operator.get_by_role("button", name="Yes, I").click()
    assert "All access revoked." in operator.inner_text(".messagelist")
    assert is_dead(site, wanted)
    assert not is_dead(site, other)


@pytest.mark.requirement("pages-accessible")
def test_our_parts_of_the_admin_fit_and_axe_finds_nothing(
    chromium: Browser, site: Sample, callbacks: Callbacks, operator_account: None, screens: Path, axe: str
) -> None:
    with chromium.new_context() as context:
        person = context.new_page()
        log_in(person, f"{site.url}/oauth/login", "somebody-with-an-app@example.com")
        for name in ("Claude Code", EVIL_NAME):
            connect(person, site, callbacks, name)
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(f"{site.url}/admin/login/?password&next=/admin/mcp_oidc/client/")
        log_in_as_operator(page)
        page.locator("#result_list").get_by_role("link", name="Claude Code").first.click()
        page.locator(".mcp-panel").first.wait_for()
        look_at(page, screens / "admin-client", axe, parts=OURS)
        page.get_by_role("button", name="Block").click()
        page.get_by_role("heading", name="Block these clients?").wait_for()
        look_at(page, screens / "admin-block", axe, parts=("#content",))
        page.goto(f"{site.url}/admin/mcp_oidc/identity/")
        page.locator("#result_list tbody a").first.click()
        page.locator(".mcp-panel").first.wait_for()
        look_at(page, screens / "admin-identity", axe, parts=OURS)


# The rest of a page is Django's.
OURS = (".mcp-panel", ".object-tools")
