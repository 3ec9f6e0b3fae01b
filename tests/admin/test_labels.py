"""The codes of the audit, in words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.test import Client as Browser
from django.utils import translation

from mcp_oidc.admin.labels import KINDS, OUTCOMES, REASONS, kind_label, reason_label
from mcp_oidc.core.audit import record
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.models import Event
from mcp_oidc.upstream.revalidation import Answer
from tests.admin.pages import list_url, text_of

DOCS = Path(__file__).resolve().parents[2] / "docs"
_CODE = re.compile(r"`([a-z_]+)`")


def reasons_in(page: str) -> set[str]:
    """The codes in the column of reasons of a page's first table that has one."""
    rows = [line.split("|") for line in (DOCS / page).read_text().splitlines() if line.startswith("|")]
    (head, column) = next(
        (number, number_in_row)
        for number, row in enumerate(rows)
        for number_in_row, cell in enumerate(row)
        if cell.strip() in ("reason", "reasons")
    )
    table = (row for row in rows[head + 2 :] if len(row) == len(rows[head]))
    return {code for row in table for code in _CODE.findall(row[column])}


def test_every_kind_and_outcome_has_words() -> None:
    assert KINDS.keys() == set(Kind)
    assert OUTCOMES.keys() == set(Outcome)


@pytest.mark.parametrize("page", ["audit.md", "revocation.md"])
def test_every_reason_in_the_docs_has_words(page: str) -> None:
    found = reasons_in(page)
    assert {"emergency", "idp_logout"} <= found
    assert found - REASONS.keys() == set()


def test_every_answer_about_access_is_in_the_docs_and_has_words() -> None:
    answers = {answer.value for answer in Answer}
    assert answers <= reasons_in("audit.md")
    assert answers <= REASONS.keys()


def test_what_is_no_code_of_ours_stays_as_it_is() -> None:
    assert kind_label("of.a.later.version") == "of.a.later.version"
    assert reason_label("several accounts have the address") == "several accounts have the address"
    assert len(reason_label("a" * 300, 20)) <= 20


def test_events_are_listed_in_words_of_the_language(admin_browser: Browser, user: AbstractBaseUser) -> None:
    record(Kind.IDENTITY_ASKED, Outcome.REFUSED, reason=Answer.HAS_NO_ACCESS.value, user=user)
    with translation.override("de"):
        assert reason_label("has_no_access") == "hat den Zugriff verloren"
    page = text_of(admin_browser.get(list_url(Event)))
    assert "identity provider asked about access" in page
    assert "has lost access" in page
    assert "has_no_access" not in page
