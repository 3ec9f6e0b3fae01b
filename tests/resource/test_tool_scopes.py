"""TOOL_SCOPES: scopes that single tools need, by what the body calls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from mcp_oidc.conf import app_settings
from tests.factories import ISSUER
from tests.resource.entry_points import ENTRY_POINTS, Call, EntryPoint
from tests.resource.worlds import Issue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.resource.urls")]

every_entry_point = pytest.mark.parametrize("entry_point", ENTRY_POINTS.values(), ids=ENTRY_POINTS.keys())


@pytest.fixture(autouse=True)
def _scoped_tools() -> Iterator[None]:
    tool_scopes = {"add_note": ["notes:write"], "drop_notes": "notes:write notes:drop"}
    with override_settings(MCP_OIDC={"ISSUER": ISSUER, "RESOURCES": {"/mcp": {"TOOL_SCOPES": tool_scopes}}}):
        yield


def tool_call(name: Any, **members: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": {}}, **members}


def posted(token: str, message: Any, **headers: str) -> Call:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return Call(authorization=f"Bearer {token}", body=body, headers=headers)


@pytest.mark.requirement("resource-scopes-of-tools")
@every_entry_point
def test_tool_whose_scope_is_missing_is_not_called(entry_point: EntryPoint, access_token: str) -> None:
    answer = entry_point(posted(access_token, tool_call("add_note")))
    assert answer.status == 403
    assert answer.json["error"] == "insufficient_scope"
    assert answer.challenge is not None
    assert 'error="insufficient_scope"' in answer.challenge
    assert 'scope="mcp notes:write"' in answer.challenge


@every_entry_point
def test_tool_whose_scope_was_granted_is_called(entry_point: EntryPoint, issue: Issue) -> None:
    token = issue(scope="mcp notes:write").access_token
    assert entry_point(posted(token, tool_call("add_note"))).status == 200


@every_entry_point
@pytest.mark.parametrize(
    "message",
    [
        tool_call("list_notes"),
        tool_call("ADD_NOTE"),
        tool_call(["add_note"]),
        tool_call("add_note", params=["add_note"]),
        tool_call("add_note", method="tools/list"),
        {"jsonrpc": "2.0", "id": 1, "result": {"method": "tools/call", "params": {"name": "add_note"}}},
        "tools/call",
        None,
    ],
)
def test_message_that_does_not_call_the_tool_needs_no_more(
    entry_point: EntryPoint, message: Any, access_token: str
) -> None:
    assert entry_point(posted(access_token, message)).status == 200


@every_entry_point
def test_batch_needs_what_all_its_calls_need(entry_point: EntryPoint, issue: Issue) -> None:
    token = issue(scope="mcp notes:write").access_token
    answer = entry_point(posted(token, [tool_call("list_notes"), tool_call("add_note"), tool_call("drop_notes")]))
    assert answer.status == 403
    assert answer.challenge is not None
    assert 'scope="mcp notes:write notes:drop"' in answer.challenge


@every_entry_point
def test_header_that_lies_opens_no_door(entry_point: EntryPoint, access_token: str) -> None:
    lie = {"Mcp-Method": "tools/list", "Mcp-Name": "list_notes"}
    assert entry_point(posted(access_token, tool_call("add_note"), **lie)).status == 403


@every_entry_point
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"add_note",
        b"\xff\xfe\xff",
        b'{"method": "tools/call", "method": "ping", "params": {"name": "add_note"}}',
        b'{"method": "tools/call", "params": {"name": "add_note", "name": "list_notes"}}',
        b"[" * 200_000,
        b'{"padding": "' + b"x" * 5_000_000 + b'"}',
    ],
    ids=["empty", "no JSON", "no UTF-8", "two methods", "two names", "deep", "large"],
)
def test_body_that_two_parsers_might_read_differently_is_refused(
    entry_point: EntryPoint, body: bytes, access_token: str
) -> None:
    answer = entry_point(posted(access_token, body))
    assert answer.status == 400
    assert answer.json["error"] == "invalid_request"


@every_entry_point
def test_caller_without_a_token_is_not_listened_to(entry_point: EntryPoint) -> None:
    assert entry_point(Call(body=b"not JSON")).status == 401


def test_scopes_of_tools_can_be_granted() -> None:
    resource = app_settings.resource("/mcp", ISSUER)
    assert {"notes:write", "notes:drop"} <= set(app_settings.scopes_for(resource))
