"""What a page looks like in every view."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

WIDTHS = (320, 1200)


def look_at(page: Page, screen: Path, axe: str, *, parts: tuple[str, ...] = ("html",)) -> None:
    """Keep pictures of a page in every view, and hold it against its width, and `parts` of it against axe's rules."""
    page.evaluate(axe)
    for width, scheme in itertools.product(WIDTHS, ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=f"{screen}-{width}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"it scrolls sideways at {width}"
        violations = page.evaluate(
            "parts => axe.run({include: parts.map(part => [part])}).then(result => result.violations)", list(parts)
        )
        assert violations == [], json.dumps(violations, indent=1)
