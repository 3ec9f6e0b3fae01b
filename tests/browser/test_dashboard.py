"""The dashboard in Chromium, under a strict policy: with data and without, by keyboard, and without a script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import site_with
from tests.browser.looks import look_at
from tests.journeys.servers import Sample

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.long

PATH = "/admin/mcp_oidc/dashboard/"
# What is ours; the frame around it is Django's.
OURS = ".mcp-dashboard"
_LOG_IN = """
from django.contrib.auth import get_user_model
from django.test import Client
browser = Client()
browser.force_login(get_user_model().objects.create_superuser("root", "root@example.com", "a long password"))
print(browser.cookies["sample_session"].value)
"""
_FILL = """
import time
from mcp_oidc.core.audit import Caller, record
from mcp_oidc.core.clients import register
from mcp_oidc.core.identities import local_identity
from django.contrib.auth import get_user_model
from mcp_oidc.models import HourlyCount
from tests.factories import make_metadata, open_for
now = int(time.time()) // 3600
kinds = [("login", "allowed"), ("connection.refreshed", "allowed"), ("token.refused", "invalid_grant"),
         ("resource.refused", "invalid_token"), ("connection.revoked", "revoked")]
HourlyCount.objects.bulk_create(
    HourlyCount(hour=now - back, kind=kind, outcome=outcome, count=back * (11 ** place) % 97)
    for back in range(600) for place, (kind, outcome) in enumerate(kinds)
)
caller = Caller(address="2001:db8:1:2:3:4:5:6")
for name in ("Claude", "A name that is long and goes on and on, as some do " * 4, "x" * 250):
    client = register(make_metadata(client_name=name), caller=caller).client
    user = get_user_model().objects.create_user(name[:150])
    opened = open_for(client, local_identity(user), caller=caller)
    record("connection.replayed", "refused", reason="code_reused", connection=opened.connection, caller=caller)
record("login", "refused", reason="the answer failed the check of iss: missing, or another issuer's", caller=caller)
record("client.registered", "refused", reason="client blocked", caller=caller)
"""


@pytest.fixture(scope="module")
def admin_site(identity_provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """A site of its own, on which nothing has happened yet."""
    sample = site_with(f"sqlite:///{tmp_path_factory.mktemp('admin') / 'site.sqlite3'}", identity_provider)
    sample.manage("migrate", "--verbosity", "0")
    sample.start()
    yield sample
    sample.stop()


@pytest.fixture(scope="module")
def busy_site(admin_site: Sample) -> Sample:
    """The same site, on which much has happened."""
    admin_site.manage("shell", "-c", _FILL)
    return admin_site


@pytest.fixture(scope="module")
def operator(chromium: Browser, admin_site: Sample) -> Iterator[Page]:
    """The browser of a superuser."""
    cookie: Any = {
        "name": "sample_session",
        "value": admin_site.manage("shell", "--verbosity", "0", "-c", _LOG_IN).strip(),
        "url": admin_site.url,
    }
    complaints: list[str] = []
    with chromium.new_context() as context:
        context.add_cookies([cookie])
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        yield page
    assert not [complaint for complaint in complaints if "Content Security Policy" in complaint]


@pytest.mark.requirement("pages-accessible")
def test_dashboard_without_data_fits_and_axe_finds_nothing(
    operator: Page, admin_site: Sample, screens: Path, axe: str
) -> None:
    operator.goto(admin_site.url + "/admin/")
    operator.get_by_role("link", name="Dashboard").first.click()
    assert operator.get_by_role("heading", level=1).inner_text() == "Dashboard"
    look_at(operator, screens / "dashboard-empty", axe, parts=(OURS,))


@pytest.mark.requirement("pages-accessible")
def test_dashboard_fits_and_axe_finds_nothing(operator: Page, busy_site: Sample, screens: Path, axe: str) -> None:
    operator.goto(busy_site.url + PATH)
    look_at(operator, screens / "dashboard", axe, parts=(OURS,))
    for summary in operator.locator(f"{OURS} summary").all():
        summary.focus()
        operator.keyboard.press("Enter")
    assert operator.get_by_role("table", name="Last 24 hours").get_by_role("row").count() == 25
    assert operator.get_by_role("table", name="Last 30 days").get_by_role("row").count() == 31
    look_at(operator, screens / "dashboard-tables", axe, parts=(OURS,))


def test_drawings_have_names_and_say_what_they_show(operator: Page, busy_site: Sample) -> None:
    operator.goto(busy_site.url + PATH)
    drawing = operator.get_by_role("img", name="Last 24 hours: Logins")
    assert "in all, the most at" in (drawing.locator("desc").text_content() or "")
    # A bar for each hour in which something happened.
    assert drawing.locator("rect").count() >= 20


def test_tables_open_without_a_script(chromium: Browser, operator: Page, busy_site: Sample) -> None:
    with chromium.new_context(java_script_enabled=False, storage_state=operator.context.storage_state()) as context:
        page = context.new_page()
        page.goto(busy_site.url + PATH)
        page.get_by_text("Last 24 hours as a table").click()
        assert page.get_by_role("table", name="Last 24 hours").get_by_role("row").count() == 25


def test_event_is_one_step_away(operator: Page, busy_site: Sample) -> None:
    operator.goto(busy_site.url + PATH)
    link = operator.get_by_role("row", name="client blocked").get_by_role("link")
    page = operator.context.new_page()
    page.goto(busy_site.url + str(link.get_attribute("href")))
    assert "client.registered" in page.inner_text("main")
