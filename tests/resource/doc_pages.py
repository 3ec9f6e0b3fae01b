"""The Python of documentation pages, run as a reader would run it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks_of(page: str) -> list[str]:
    """The Python blocks of a page, such as `protect/fastmcp.md`, in order."""
    return _BLOCK.findall((DOCS / page).read_text())


def run_block(page: str, number: int, **given: Any) -> dict[str, Any]:
    """The names that a block of a page makes. `given` is what the page takes for granted."""
    names = {"__name__": f"docs:{page}", **given}
    exec(compile(blocks_of(page)[number], f"{page}, block {number}", "exec"), names)  # noqa: S102  # our own pages
    return names
