"""What the head of an MCP request says of its body."""

from __future__ import annotations

import pytest

from mcp_oidc.errors import InvalidRequest
from mcp_oidc.protocol.mcp_requests import read_head, require_plain_utf8


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, None),
        ("add_note", "add_note"),
        (" add_note\t", "add_note"),
        ("=?base64?bm90aXrDqQ==?=", "notiz\xe9"),
        ("=?base64?not base64?=", "=?base64?not base64?="),
        ("=?base64?/w==?=", "=?base64?/w==?="),
        ("=?BASE64?YQ==?=", "=?BASE64?YQ==?="),
    ],
)
def test_name_is_decoded_as_clients_encode_it(value: str | None, name: str | None) -> None:
    assert read_head("post", {"mcp-name": value}.get).mcp_name == name


@pytest.mark.parametrize(
    ("header", "value", "is_plain"),
    [
        ("content-type", "application/json", True),
        ("content-type", "application/json; charset=UTF-8; profile=x", True),
        ("content-type", 'application/json;charset="utf8"', True),
        ("content-type", "application/json; charset=utf-8-sig", False),
        ("content-type", "application/json; CHARSET = latin-1", False),
        ("content-type", "application/json; charset", False),
        ("content-type", "application/json,application/json; charset=utf-16", False),
        ("content-encoding", "Identity", True),
        ("content-encoding", "identity, gzip", False),
        ("content-encoding", "br", False),
    ],
)
def test_body_in_another_encoding_is_refused(header: str, value: str, is_plain: bool) -> None:
    head = read_head("POST", {header: value}.get)
    if is_plain:
        require_plain_utf8(head)
    else:
        with pytest.raises(InvalidRequest):
            require_plain_utf8(head)
