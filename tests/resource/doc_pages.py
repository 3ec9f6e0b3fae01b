"""The Python of documentation pages, run as a reader would run it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from django.test import override_settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
_BLOCK = r"^```{language}\n(.*?)^```$"


def blocks_of(page: str, *, language: str = "python") -> list[str]:
    """The blocks of a page, such as `protect/fastmcp.md`, in order."""
    block = _BLOCK.format(language=language)
    return re.findall(block, (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def run_block(page: str, number: int, **given: Any) -> dict[str, Any]:
    """The names that a block of a page makes. `given` is what the page takes for granted."""
    names = {"__name__": f"docs:{page}", **given}
    exec(compile(blocks_of(page)[number], f"{page}, block {number}", "exec"), names)  # noqa: S102  # our own pages
    return names


@contextmanager
def serving_urls(names: dict[str, Any]) -> Iterator[None]:
    """Django serves the `urlpatterns` of a block until the block of the `with` statement ends."""
    module = ModuleType("docs_urls")
    vars(module).update(names)
    with override_settings(ROOT_URLCONF=module):
        yield
