"""The pictures in docs/images: `pytest --long --pictures tests/browser/test_pictures.py` takes them anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.callbacks import Callbacks
from tests.browser.people import authorize_url, connect, log_in, register, trust
from tests.browser.test_looks import CLAUDE
from tests.journeys.servers import Sample

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.long

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
VIEWS = {"light": (820, "light"), "dark": (820, "dark"), "phone": (360, "light")}
# The port of a test says nothing, and would be another in every picture.
RENAME = """() => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode;
        text.data = text.data.replace(/http:..localhost:\\d+/, 'https://mcp.example.com')
                             .replace(/localhost:\\d+/, 'mcp.example.com');
    }
}"""
Scene = Callable[["Page", Sample, Callbacks], object]


def with_apps(page: Page, site: Sample, callbacks: Callbacks) -> None:
    connect(page, site, callbacks, "Cursor")
    trust(site, connect(page, site, callbacks, "Claude Code")["client_id"])
    page.goto(f"{site.url}/oauth/connections")


def logged_out(page: Page, site: Sample, callbacks: Callbacks) -> None:
    page.context.clear_cookies()
    page.goto(f"{site.url}/oauth/logout")


SCENES: dict[str, Scene] = {
    "connections-none": lambda page, site, _: page.goto(f"{site.url}/oauth/connections"),
    "consent": lambda page, site, _: page.goto(authorize_url(site, register(site, CLAUDE, "Claude"), CLAUDE)),
    "connections": with_apps,
    "error": lambda page, site, _: page.goto(f"{site.url}/authorize?client_id=unknown"),
    "logout": lambda page, site, _: page.goto(f"{site.url}/oauth/logout"),
    "admin-refused": lambda page, site, _: page.goto(f"{site.url}/admin/login/"),
    "logged-out": logged_out,
}


@pytest.fixture
def person(chromium: Browser, site: Sample) -> Iterator[Page]:
    """The browser of somebody who has just logged in."""
    with chromium.new_context() as context:
        page = context.new_page()
        log_in(page, f"{site.url}/oauth/login", "ada@example.com")
        yield page


def test_each_page_has_its_pictures(
    person: Page, site: Sample, callbacks: Callbacks, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = IMAGES if request.config.getoption("--pictures") else tmp_path
    folder.mkdir(exist_ok=True)
    for name, scene in SCENES.items():
        scene(person, site, callbacks)
        person.evaluate(RENAME)
        for view, (width, scheme) in VIEWS.items():
            person.set_viewport_size({"width": width, "height": 400})
            # Without motion, or a colour could be on its way to the next one.
            person.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            person.screenshot(path=folder / f"{name}-{view}.png", full_page=True)
    # Those of the admin were taken by hand.
    of_people = {
        path.name
        for path in IMAGES.glob("*.png")
        if not path.name.startswith(("admin-clien", "admin-block", "admin-user", "dashboard-"))
    }
    assert {path.name for path in folder.glob("*.png")} == of_people
