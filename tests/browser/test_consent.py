"""The consent page in Chromium, on a site with a strict policy: what is pressed reaches the client as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.callbacks import Callbacks
from tests.browser.people import authorize_url, log_in, register
from tests.journeys.servers import Sample

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.browser.conftest import Visit

# Real processes and a real browser: more than ten seconds in all.
pytestmark = pytest.mark.long

STATE = "".join(map(chr, range(1, 256))) + "é🐎\u202e&=%41+ " + "x" * 1700
EVIL_NAME = "\u202e<script>document.title='pwned'</script><img src=x onerror=alert()>"


@pytest.fixture
def ask(site: Sample, callbacks: Callbacks) -> str:
    """What a new client on loopback asks for."""
    return authorize_url(site, register(site, callbacks.uri, "Test client"), callbacks.uri, state=STATE)


def last_answer(callbacks: Callbacks, page: Page) -> dict[str, str]:
    """What the client was told, once the browser is there."""
    page.wait_for_url(f"{callbacks.uri}*")
    return callbacks.answers[-1]


@pytest.mark.requirement("consent-in-browser")
@pytest.mark.requirement("csp-form-action")
@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no-script"])
def test_allow_brings_a_code_and_the_state_as_it_was(
    visit: Visit, ask: str, callbacks: Callbacks, has_script: bool
) -> None:
    page = visit(ask, java_script_enabled=has_script)
    page.get_by_role("button", name="Allow").click()
    answer = last_answer(callbacks, page)
    assert set(answer) == {"code", "state", "iss"}
    assert answer["state"] == STATE


@pytest.mark.requirement("consent-in-browser")
@pytest.mark.requirement("csp-form-action")
@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no-script"])
def test_deny_tells_the_client_no(visit: Visit, ask: str, callbacks: Callbacks, site: Sample, has_script: bool) -> None:
    page = visit(ask, java_script_enabled=has_script)
    page.get_by_role("button", name="Deny").click()
    answer = last_answer(callbacks, page)
    assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", STATE, site.url)


def test_stranger_comes_back_from_the_provider_with_the_state_as_it_was(
    chromium: Browser, ask: str, callbacks: Callbacks
) -> None:
    with chromium.new_context() as context:
        page = context.new_page()
        log_in(page, ask, "bob")
        page.get_by_role("button", name="Allow").click()
        assert last_answer(callbacks, page)["state"] == STATE


@pytest.mark.requirement("consent-in-browser")
@pytest.mark.parametrize(("name", "outcome"), [("Deny", "error"), ("Allow", "code")])
def test_keyboard_is_enough(visit: Visit, ask: str, callbacks: Callbacks, name: str, outcome: str) -> None:
    page = visit(ask)
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText") == name:
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert outcome in last_answer(callbacks, page)


@pytest.mark.requirement("consent-in-browser")
@pytest.mark.parametrize("width", [320, 360, 1200])
def test_allow_and_deny_weigh_the_same(visit: Visit, ask: str, width: int) -> None:
    page = visit(ask, viewport={"width": width, "height": 800})
    looks = [_look(page, name) for name in ("Allow", "Deny")]
    assert looks[0] == looks[1]
    assert looks[0]["border"].startswith("2px solid"), "the style did not apply"


def _look(page: Page, name: str) -> dict[str, Any]:
    button = page.get_by_role("button", name=name)
    box = button.bounding_box()
    assert box is not None
    style: dict[str, str] = button.evaluate(
        "e => { const s = getComputedStyle(e);"
        " return {color: s.color, background: s.background, border: s.border, font: s.font} }"
    )
    return {**style, "width": box["width"], "height": box["height"]}


@pytest.mark.requirement("consent-name-inert")
def test_name_of_a_client_runs_nothing(visit: Visit, site: Sample, callbacks: Callbacks) -> None:
    page = visit(authorize_url(site, register(site, callbacks.uri, EVIL_NAME), callbacks.uri))
    assert page.title() == "Allow access?"
    assert page.locator("img").count() == page.locator("script").count() == 0
    assert "<script>" in page.inner_text("main")
    assert "⟨U+202E⟩" in page.inner_text("main")


def test_back_and_another_answer_do_no_harm(visit: Visit, ask: str, callbacks: Callbacks) -> None:
    page = visit(ask)
    page.get_by_role("button", name="Allow").click()
    assert "code" in last_answer(callbacks, page)
    page.go_back()
    page.get_by_role("button", name="Deny").click()
    assert last_answer(callbacks, page)["error"] == "access_denied"


@pytest.mark.requirement("csrf-page")
def test_page_whose_cookie_is_gone_starts_again(visit: Visit, ask: str, callbacks: Callbacks) -> None:
    page = visit(ask)
    page.context.clear_cookies(name="sample_csrf")
    page.get_by_role("button", name="Allow").click()
    assert "did not count" in page.inner_text("main")
    page.get_by_role("link", name="Start again").click()
    page.get_by_role("button", name="Allow").click()
    assert "code" in last_answer(callbacks, page)


def test_private_scheme_is_sent_the_answer(visit: Visit, site: Sample) -> None:
    uri = "cursor://anysphere.cursor-mcp/oauth/callback"
    page = visit(authorize_url(site, register(site, uri, "Cursor"), uri))
    with page.expect_response(lambda response: response.request.method == "POST") as answered:
        page.get_by_role("button", name="Allow").click()
    location = answered.value.headers["location"]
    assert location.startswith(f"{uri}?code=")
