"""What a page looks like in every view."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

WIDTHS = (320, 1200)
# WCAG 2.2 2.5.8, which axe tries only when it is told to.
RULES = "{rules: {'target-size': {enabled: true}}}"


def look_at(page: Page, screen: Path, axe: str, *, parts: tuple[str, ...] = ("html",)) -> None:
    """Keep pictures of a page in every view, and hold it against its width, and `parts` of it against axe's rules."""
    page.evaluate(axe)
    for width, scheme in itertools.product(WIDTHS, ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 800})
        # Without motion, or a colour could be on its way to the next one.
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.screenshot(path=f"{screen}-{width}-{scheme}.png", full_page=True)
        check_view(page, parts=parts)


def look_at_phone(page: Page, screen: Path, axe: str) -> None:
    """The same in one view, the one where words run out of room first."""
    page.evaluate(axe)
    page.set_viewport_size({"width": min(WIDTHS), "height": 800})
    page.screenshot(path=f"{screen}.png", full_page=True)
    check_view(page)


def check_view(page: Page, *, parts: tuple[str, ...] = ("html",)) -> None:
    """Nothing is cut off, and axe finds nothing in `parts`. The source of axe has been given to the page."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    found = f"axe.run({{include: parts.map(part => [part])}}, {RULES}).then(result => result.violations)"
    violations = page.evaluate(f"parts => {found}", list(parts))
    assert violations == [], json.dumps(violations, indent=1)
