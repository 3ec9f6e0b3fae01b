"""The page of connected apps in Chromium: what is pressed ends, with or without a script, a mouse or eyes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.browser.callbacks import Callbacks
from tests.browser.looks import look_at
from tests.browser.people import call, connect, log_in, trust
from tests.journeys.servers import Sample

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, expect
else:
    expect = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed").expect

pytestmark = pytest.mark.long

EVIL_NAME = "Claude\u202e<b>\u200b. Checked by the people who run this server. You can allow it without a doubt. Yes."
PATH = "/oauth/connections"


@pytest.fixture(params=[True, False], ids=["script", "no-script"])
def person(request: pytest.FixtureRequest, chromium: Browser, site: Sample) -> Iterator[Page]:
    """The browser of somebody new, who has logged in and looks at their apps."""
    with chromium.new_context(java_script_enabled=request.param) as context:
        page = context.new_page()
        # Not logged in yet: to the provider and back.
        log_in(page, site.url + PATH, f"{request.node.name}@example.com")
        yield page


def is_dead(site: Sample, tokens: dict[str, str]) -> bool:
    """Whether the MCP endpoint and the token endpoint refuse what a client holds, or both take it."""
    status = call(site, tokens["access_token"])
    form = {name: tokens[name] for name in ("client_id", "refresh_token")}
    refreshed = requests.post(f"{site.url}/token", data={"grant_type": "refresh_token", **form})
    assert (status, refreshed.status_code) in ((200, 200), (401, 400))
    return status == 401


@pytest.mark.requirement("user-revokes")
@pytest.mark.requirement("connected-apps-login")
def test_press_of_a_button_ends_that_app_and_no_other(person: Page, site: Sample, callbacks: Callbacks) -> None:
    assert "No app is connected." in person.inner_text("main")
    first, second = (connect(person, site, callbacks, name) for name in ("First app", "Second app"))
    assert call(site, first["access_token"]) == 200
    person.goto(site.url + PATH)
    person.get_by_role("button", name="Disconnect First app").click()
    assert person.get_by_role("status").inner_text() == "Disconnected: First app"
    assert person.get_by_role("heading", level=2).all_inner_texts() == ["Second app"]
    assert is_dead(site, first)
    assert not is_dead(site, second)
    # A page that is loaded again repeats nothing.
    person.reload()
    assert person.get_by_role("status").count() == 0


@pytest.mark.requirement("user-revokes")
def test_keyboard_is_enough_to_end_one(person: Page, site: Sample, callbacks: Callbacks) -> None:
    first, second = (connect(person, site, callbacks, name) for name in ("First app", "Second app"))
    person.goto(site.url + PATH)
    # The app that was used last comes first, and so does its button.
    person.keyboard.press("Tab")
    button = person.get_by_role("button", name="Disconnect Second app")
    expect(button).to_be_focused()
    expect(button).to_have_css("outline-style", "solid")
    person.keyboard.press("Enter")
    person.get_by_role("status").wait_for()
    assert person.get_by_role("heading", level=2).all_inner_texts() == ["First app"]
    assert [is_dead(site, each) for each in (first, second)] == [False, True]


@pytest.mark.requirement("user-revokes")
def test_keyboard_is_enough_to_end_all(person: Page, site: Sample, callbacks: Callbacks) -> None:
    tokens = [connect(person, site, callbacks, name) for name in ("First app", "Second app")]
    person.goto(site.url + PATH)
    for key in ("Tab", "Tab", "Tab", "Enter", "Tab", "Enter"):
        person.keyboard.press(key)
    person.get_by_role("status").wait_for()
    assert "All apps were disconnected." in person.inner_text("main")
    assert [is_dead(site, each) for each in tokens] == [True, True]


@pytest.mark.requirement("pages-accessible")
def test_page_fits_and_axe_finds_nothing(
    chromium: Browser, site: Sample, callbacks: Callbacks, screens: Path, axe: str
) -> None:
    with chromium.new_context() as context:
        page = context.new_page()
        log_in(page, site.url + PATH, "somebody-with-apps@example.com")
        look_at(page, screens / "connections-none", axe)
        known: list[dict[str, Any]] = [
            connect(page, site, callbacks, name) for name in ("Claude Code", EVIL_NAME, "Cursor")
        ]
        trust(site, known[0]["client_id"])
        page.goto(site.url + PATH)
        page.get_by_text("Disconnect all apps").click()
        look_at(page, screens / "connections", axe)
        page.get_by_role("button", name="Disconnect Cursor").click()
        look_at(page, screens / "connections-ended", axe)
