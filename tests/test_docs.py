"""The documentation against the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.template.base import Lexer, Token, TokenType

from mcp_oidc.conf import Settings
from mcp_oidc.core.event_kinds import Count, Kind

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TEMPLATES = ROOT / "mcp_oidc" / "templates" / "mcp_oidc"
SETTINGS_PAGE = (DOCS / "settings.md").read_text()
PAGES_PAGE = (DOCS / "pages.md").read_text()
AUDIT_PAGE = (DOCS / "audit.md").read_text()
EVENTS, TALLIES = (AUDIT_PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0] for title in ("Events", "Tallies"))

_WORD = re.compile(r"(?<![.\w\"'|:-])[a-z_]\w*")
_STRING = re.compile(r"\"[^\"]*\"|'[^']*'")
_OPERATORS = {"and", "or", "not", "in", "is", "with", "only", "as", "forloop"}


def test_every_setting_has_a_row_on_its_page() -> None:
    keys = [name for name, value in vars(Settings).items() if isinstance(value, property) and name.isupper()]
    assert len(keys) > 20
    assert [key for key in keys if f"| `{key}` |" not in SETTINGS_PAGE] == []


def tokens_of(template: str) -> list[Token]:
    return Lexer((TEMPLATES / template).read_text()).tokenize()


def blocks_of(template: str) -> set[str]:
    names = (token.split_contents() for token in tokens_of(template) if token.token_type is TokenType.BLOCK)
    return {words[1] for words in names if words[0] == "block"}


def variables_of(template: str) -> set[str]:
    """The variables that a template reads and did not name itself."""
    read, named = set(), set()
    for token in tokens_of(template):
        if token.token_type is TokenType.VAR:
            read |= set(_words(token.contents)[:1])
        elif token.token_type is TokenType.BLOCK:
            tag, *words = _words(token.contents)
            if tag == "for":
                named.add(words[0])
                read |= set(words[1:])
            elif tag in ("if", "elif"):
                read |= set(words)
            elif " with " in token.contents:
                pairs = re.findall(r"(\w+)=(\w+)", token.contents)
                read |= {value for _, value in pairs}
                named |= {name for name, _ in pairs if tag == "blocktranslate"}
    return read - named - {"block", "forloop"}


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(_STRING.sub("", text)) if word not in _OPERATORS]


def rows_of(heading: str) -> dict[str, set[str]]:
    """What stands in code in each row of the table with this heading: the first cell, and the set of the second."""
    table = PAGES_PAGE.split(f"| {heading} |\n", 1)[1].split("\n\n", 1)[0]
    return dict(_cells(table))


def _cells(table: str) -> Iterator[tuple[str, set[str]]]:
    for row in table.splitlines()[1:]:
        name, rest = row.strip("| ").split(" | ", 1)
        # What stands in brackets explains the name before it.
        yield re.findall(r"`mcp_oidc/(.+?)`", name)[0], set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", rest)))


@pytest.mark.parametrize("template", sorted(path.name for path in TEMPLATES.glob("*.html")))
def test_every_block_and_variable_of_a_page_is_documented(template: str) -> None:
    assert rows_of("template | blocks")[template] == blocks_of(template)
    documented = rows_of("template | variables")
    common = documented["base.html"] if template != "base.html" else set()
    assert documented[template] == variables_of(template) - common


def test_variables_of_templates_are_found() -> None:
    assert {"apps", "identity", "notice"} <= variables_of("connections.html")
    assert not {"app", "each", "scheme", "forloop", "empty"} & variables_of("connections.html")


def test_every_variable_of_the_style_is_documented() -> None:
    style = (TEMPLATES / "style.css").read_text()
    defined = set(re.findall(r"(--mcp-[a-z-]+):", style))
    assert set(re.findall(r"var\((--[a-z-]+)\)", style)) <= defined
    assert set(re.findall(r"`(--mcp-[a-z-]+)`", PAGES_PAGE)) == defined


def test_every_picture_is_shown_and_every_one_that_is_shown_is_there() -> None:
    pictures = {path.relative_to(DOCS).as_posix() for path in (DOCS / "images").glob("*.png")}
    shown = {name for page in DOCS.glob("*.md") for name in re.findall(r"\]\((images/[^)]+)\)", page.read_text())}
    assert shown == pictures
    assert len(shown) > 20


@pytest.mark.requirement("audit-documented")
def test_every_kind_of_event_has_a_row_with_its_outcomes_and_there_is_no_other() -> None:
    rows = re.findall(r"^\| `([a-z._]+)` \| ([a-z, ]+) \|", EVENTS, re.MULTILINE)
    assert sorted(rows) == sorted((kind.value, ", ".join(kind.outcomes)) for kind in Kind)


@pytest.mark.requirement("audit-documented")
def test_every_count_has_a_row_and_there_is_no_other() -> None:
    assert sorted(re.findall(r"^\| `([a-z._]+)` \|", TALLIES, re.MULTILINE)) == sorted(Count)


@pytest.mark.requirement("audit-documented")
def test_there_is_no_kind_that_nobody_records() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "mcp_oidc").rglob("*.py"))
    used = set(re.findall(r"\b(?:Kind|Count)\.[A-Z_]+", sources))
    assert {f"Kind.{kind.name}" for kind in Kind} | {f"Count.{count.name}" for count in Count} <= used
