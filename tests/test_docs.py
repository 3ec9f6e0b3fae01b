"""The documentation against the code."""

from __future__ import annotations

from pathlib import Path

from mcp_oidc.conf import Settings

SETTINGS_PAGE = (Path(__file__).resolve().parents[1] / "docs" / "settings.md").read_text()


def test_every_setting_has_a_row_on_its_page() -> None:
    keys = [name for name, value in vars(Settings).items() if isinstance(value, property) and name.isupper()]
    assert len(keys) > 20
    assert [key for key in keys if f"| `{key}` |" not in SETTINGS_PAGE] == []
