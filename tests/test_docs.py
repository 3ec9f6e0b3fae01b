"""The documentation against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mcp_oidc
from mcp_oidc.conf import Settings
from mcp_oidc.core.event_kinds import Count, Kind

DOCS = Path(__file__).resolve().parents[1] / "docs"
SETTINGS_PAGE = (DOCS / "settings.md").read_text()
AUDIT_PAGE = (DOCS / "audit.md").read_text()
EVENTS, TALLIES = (AUDIT_PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0] for title in ("Events", "Tallies"))


def test_every_setting_has_a_row_on_its_page() -> None:
    keys = [name for name, value in vars(Settings).items() if isinstance(value, property) and name.isupper()]
    assert len(keys) > 20
    assert [key for key in keys if f"| `{key}` |" not in SETTINGS_PAGE] == []


@pytest.mark.requirement("audit-documented")
def test_every_kind_of_event_has_a_row_with_its_outcomes_and_there_is_no_other() -> None:
    rows = re.findall(r"^\| `([a-z._]+)` \| ([a-z, ]+) \|", EVENTS, re.MULTILINE)
    assert sorted(rows) == sorted((kind.value, ", ".join(kind.outcomes)) for kind in Kind)


@pytest.mark.requirement("audit-documented")
def test_every_count_has_a_row_and_there_is_no_other() -> None:
    assert sorted(re.findall(r"^\| `([a-z._]+)` \|", TALLIES, re.MULTILINE)) == sorted(Count)


@pytest.mark.requirement("audit-documented")
def test_there_is_no_kind_that_nobody_records() -> None:
    sources = "".join(path.read_text() for path in Path(str(mcp_oidc.__file__)).parent.rglob("*.py"))
    used = set(re.findall(r"\b(?:Kind|Count)\.[A-Z_]+", sources))
    assert {f"Kind.{kind.name}" for kind in Kind} | {f"Count.{count.name}" for count in Count} <= used
