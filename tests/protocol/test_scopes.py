"""Scopes."""

from __future__ import annotations

import pytest

from mcp_oidc.protocol.scopes import (
    close_implications,
    format_scope,
    granted_scopes,
    is_scope,
    parse_scope,
    with_implied,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("mcp", ("mcp",)),
        ("openid  mcp openid", ("openid", "mcp")),
        ("notes:write https://api.example/read", ("notes:write", "https://api.example/read")),
        ('ok "quoted" back\\slash caf\u00e9 tab\there', ("ok",)),
        ("mcp\n", ()),
        ("MCP mcp", ("MCP", "mcp")),
    ],
)
def test_scope_is_a_list_of_words_each_once(text: str, expected: tuple[str, ...]) -> None:
    assert parse_scope(text) == expected


def test_scopes_are_written_in_the_order_asked_for() -> None:
    assert format_scope(("b", "a")) == "b a"


@pytest.mark.parametrize(
    ("word", "expected"), [("mcp", True), ("a b", False), ("", False), ('"', False), ("a\n", False)]
)
def test_word_is_a_scope_by_rfc_6749(word: str, expected: bool) -> None:
    assert is_scope(word) is expected


@pytest.mark.requirement("unknown-scope-dropped")
def test_known_scopes_are_granted_and_the_resource_gets_its_own() -> None:
    granted = granted_scopes(("unknown", "notes:write"), known=("mcp", "notes:write"), required=("mcp",))
    assert granted == ("notes:write", "mcp")


def test_scope_that_is_asked_for_and_required_is_granted_once() -> None:
    assert granted_scopes(iter(["mcp"]), known=iter(["mcp"]), required=iter(["mcp"])) == ("mcp",)


def test_scope_implies_what_its_narrower_ones_imply() -> None:
    implied = close_implications({"admin": ["write", "audit"], "write": ["read"], "audit": ["read"]})
    assert implied == {"admin": ("write", "read", "audit"), "write": ("read",), "audit": ("read",)}
    assert with_implied(("mcp", "write", "read"), implied) == ("mcp", "write", "read")
    assert with_implied(("read", "admin"), implied) == ("read", "admin", "write", "audit")


@pytest.mark.parametrize(
    ("direct", "way_round"),
    [
        ({"a": ["a"]}, "a -> a"),
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, "a -> b -> c -> a"),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, "b -> c -> b"),
    ],
)
def test_scopes_that_imply_each_other_are_named(direct: dict[str, list[str]], way_round: str) -> None:
    with pytest.raises(ValueError, match=way_round):
        close_implications(direct)
