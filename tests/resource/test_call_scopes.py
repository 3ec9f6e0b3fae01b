"""TOOL_SCOPES and METHOD_SCOPES: what single calls need, by what the body calls, at every entry point."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.exceptions import ImproperlyConfigured

from mcp_oidc.conf import app_settings
from mcp_oidc.resource.decorators import protect
from mcp_oidc.resource.remote import RemoteVerifier
from mcp_oidc.resource.remote_asgi import RemoteBearerMiddleware
from tests.factories import ISSUER, RESOURCE
from tests.resource.entry_points import CALL_WHOAMI, Answer, Call, Kind, asgi_entry_point, entry_points
from tests.resource.installed import is_installed
from tests.resource.worlds import Issue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.resource.urls")]

every_one_of_ours = entry_points(lambda kind: kind.is_ours)
# Their views take any method and any body.
every_one_that_takes_anything = entry_points(lambda kind: kind.is_ours and not kind.package)

Configure = Callable[..., None]
LIST_TOOLS = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'
READ_SECRET = b'{"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "notes://secret"}}'


@pytest.fixture
def configure(settings: LazySettings) -> Configure:
    """Sets options of the resource /mcp."""

    def configure(**options: Any) -> None:
        settings.MCP_OIDC = {"ISSUER": ISSUER, "RESOURCES": {"/mcp": options}}

    return configure


@pytest.fixture(autouse=True)
def _scoped_tools(configure: Configure) -> None:
    configure(TOOL_SCOPES={"whoami": ["notes:write"], "drop_notes": "notes:write notes:drop"})


def tool_call(name: Any, **members: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": {}}, **members}


def posted(token: str, message: Any, **headers: str) -> Call:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return Call(authorization=f"Bearer {token}", body=body, headers=headers)


def assert_more_is_needed(answer: Answer, scope: str) -> None:
    assert answer.status == 403
    assert answer.json["error"] == "insufficient_scope"
    assert answer.challenge is not None
    assert 'error="insufficient_scope"' in answer.challenge
    assert f'scope="{scope}"' in answer.challenge


@pytest.mark.requirement("resource-scopes-of-tools")
@pytest.mark.requirement("resource-scopes-of-methods")
@every_one_of_ours
def test_call_is_served_with_its_scopes_only(kind: Kind, configure: Configure, issue: Issue) -> None:
    narrow, wide = issue().access_token, issue(scope="mcp notes:write").access_token
    for options in (
        {"TOOL_SCOPES": {"whoami": ["notes:write"]}},
        {"METHOD_SCOPES": {"tools/call": ["notes:write"]}},
        {"METHOD_SCOPES": {"POST": ["notes:write"]}},
    ):
        configure(**options)
        assert_more_is_needed(kind.call(posted(narrow, CALL_WHOAMI)), "mcp notes:write")
        assert kind.call(posted(wide, CALL_WHOAMI)).status == 200


@every_one_of_ours
def test_other_calls_need_no_more(kind: Kind, configure: Configure, access_token: str) -> None:
    configure(TOOL_SCOPES={"add_note": ["notes:write"]}, METHOD_SCOPES={"resources/read": ["notes:write"]})
    assert kind.call(posted(access_token, CALL_WHOAMI)).status == 200


@every_one_of_ours
def test_scopes_of_method_tool_and_place_are_named_at_once(kind: Kind, configure: Configure, issue: Issue) -> None:
    configure(TOOL_SCOPES={"whoami": ["b"]}, METHOD_SCOPES={"tools/call": ["a"]})
    answer = kind.call(Call("scoped", f"Bearer {issue().access_token}", body=CALL_WHOAMI))
    assert_more_is_needed(answer, "mcp notes:write a b")


@pytest.mark.requirement("resource-one-challenge-for-all-scopes")
@every_one_of_ours
def test_batch_needs_what_all_its_calls_need(kind: Kind, issue: Issue) -> None:
    token = issue(scope="mcp notes:write").access_token
    calls = [tool_call("list_notes"), tool_call("whoami"), tool_call("drop_notes")]
    assert_more_is_needed(kind.call(posted(token, calls)), "mcp notes:write notes:drop")


@pytest.mark.requirement("resource-header-mismatch")
@pytest.mark.requirement("resource-scopes-of-tools")
@every_one_of_ours
def test_header_that_lies_opens_no_door(kind: Kind, access_token: str) -> None:
    for lie in (
        {"Mcp-Method": "tools/list"},
        {"Mcp-Method": "tools/call", "Mcp-Name": "list_notes"},
        {"Mcp-Name": "list_notes"},
        {"Mcp-Method": ""},
        {"Mcp-Method": "Tools/call", "Mcp-Name": "whoami"},
        {"Mcp-Method": "tools/call, tools/list", "Mcp-Name": "whoami"},
    ):
        answer = kind.call(posted(access_token, CALL_WHOAMI, **lie))
        assert (lie, answer.status) == (lie, 400)
        error = {"code": -32020, "message": "The headers Mcp-Method and Mcp-Name do not match the body."}
        assert answer.json == {"jsonrpc": "2.0", "id": 1, "error": error}


@every_one_of_ours
def test_header_that_tells_the_truth_changes_nothing(kind: Kind, configure: Configure, access_token: str) -> None:
    configure(TOOL_SCOPES={"add_note": ["notes:write"]})
    for name in ("whoami", f"=?base64?{base64.b64encode(b'whoami').decode()}?="):
        told = {"Mcp-Method": "tools/call", "Mcp-Name": name}
        assert kind.call(posted(access_token, CALL_WHOAMI, **told)).status == 200


@every_one_of_ours
def test_header_closes_the_door_before_the_body_is_read(kind: Kind, access_token: str) -> None:
    told = {"Mcp-Method": "tools/call", "Mcp-Name": "whoami"}
    assert_more_is_needed(kind.call(posted(access_token, b"never read", **told)), "mcp notes:write")


@pytest.mark.requirement("resource-header-mismatch")
@every_one_that_takes_anything
def test_header_cannot_speak_for_a_batch_or_an_answer(kind: Kind, access_token: str) -> None:
    told = {"Mcp-Method": "ping"}
    for message in ([{"method": "ping"}], [{"method": "ping"}, {"method": "ping"}], {"id": "a", "result": {}}, "ping"):
        answer = kind.call(posted(access_token, message, **told))
        # The only message of a batch is what the header says.
        assert answer.status == (200 if message == [{"method": "ping"}] else 400)
    assert kind.call(posted(access_token, {"id": {}, "method": "pong"}, **told)).json["id"] is None


UNREADABLE: dict[str, Call] = {
    "empty": Call(body=b""),
    "no JSON": Call(body=b"whoami"),
    "no UTF-8": Call(body=b"\xff\xfe\xff"),
    "UTF-8 with BOM": Call(body=b"\xef\xbb\xbf" + LIST_TOOLS),
    "UTF-16": Call(body=LIST_TOOLS.decode().encode("utf-16")),
    "UTF-32": Call(body=LIST_TOOLS.decode().encode("utf-32")),
    "UTF-7": Call(body=CALL_WHOAMI.replace(b"/", b"+AC8-"), content_type="application/json; charset=utf-7"),
    "UTF-7 by RFC 2231": Call(body=LIST_TOOLS, content_type="application/json; charset*=us-ascii''utf-7"),
    "two charsets": Call(body=LIST_TOOLS, content_type="application/json; charset=utf-8; charset=utf-16"),
    "gzip": Call(body=gzip.compress(LIST_TOOLS), headers={"Content-Encoding": "gzip"}),
    "said to be gzip": Call(body=LIST_TOOLS, headers={"Content-Encoding": "gzip"}),
    "two methods": Call(body=b'{"method": "tools/call", "method": "ping", "params": {"name": "whoami"}}'),
    "two methods, one escaped": Call(body=b'{"method": "ping", "\\u006dethod": "tools/call"}'),
    "two names": Call(body=b'{"method": "tools/call", "params": {"name": "whoami", "name": "list_notes"}}'),
    "method in capitals": Call(body=b'{"Method": "tools/call", "params": {"name": "whoami"}}'),
    "params in capitals": Call(body=b'{"method": "tools/call", "Params": {"name": "whoami"}}'),
    "name in capitals": Call(body=b'{"method": "tools/call", "params": {"NAME": "whoami"}}'),
    "long s": Call(body='{"method": "tools/call", "param\u017f": {"name": "whoami"}}'.encode()),
    "batch in a batch": Call(body=b"[[" + CALL_WHOAMI + b"]]"),
    "deep": Call(body=b"[" * 200_000),
    "long number": Call(body=b"9" * 10_000),
    "large": Call(body=b'{"padding": "' + b"x" * 5_000_000 + b'"}'),
}


@pytest.mark.requirement("resource-one-reading")
@every_one_of_ours
def test_body_that_two_parsers_might_read_differently_is_refused(kind: Kind, access_token: str) -> None:
    for name, call in UNREADABLE.items():
        authorized = Call(**{**vars(call), "authorization": f"Bearer {access_token}"})
        answer = kind.call(authorized)
        assert (name, answer.status, answer.json["error"]) == (name, 400, "invalid_request")


@every_one_that_takes_anything
def test_encoding_may_be_named_where_it_is_utf_8(kind: Kind, access_token: str) -> None:
    for charset in ("utf-8", '"UTF-8"', "utf8"):
        call = Call(authorization=f"Bearer {access_token}", content_type=f"application/json; charset={charset}")
        assert kind.call(call).status == 200


DISGUISES = (
    b'{"method": "tools\\/call", "params": {"name": "whoami"}}',
    b'{"\\u006dethod": "tools/call", "params": {"name": "who\\u0061mi"}}',
    b'\r\n\t [ {"method": "ping"} , {"id": null, "params": {"name": "whoami"}, "method": "tools/call"} ]\n',
    b'[1, null, "ping", {"method": "tools/call", "params": {"name": "whoami", "arguments": {"name": "list_notes"}}}]',
    b'{"method": "tools/call", "params": {"name": "whoami"}, "result": {}, "error": {}}',
)


@pytest.mark.requirement("resource-scopes-of-tools")
@every_one_of_ours
def test_disguised_call_needs_its_scopes(kind: Kind, access_token: str) -> None:
    for body in DISGUISES:
        assert_more_is_needed(kind.call(posted(access_token, body)), "mcp notes:write")


@pytest.mark.requirement("resource-scopes-of-tools")
@every_one_that_takes_anything
def test_call_by_any_other_http_method_needs_its_scopes(kind: Kind, access_token: str) -> None:
    for method in ("GET", "DELETE", "PUT", "PATCH", "HEAD", "PURGE", "post"):
        call = Call(authorization=f"Bearer {access_token}", method=method, body=CALL_WHOAMI)
        answer = kind.call(call)
        assert (method, answer.status) == (method, 403)


@every_one_that_takes_anything
def test_request_without_a_body_calls_no_tool(kind: Kind, access_token: str) -> None:
    for method in ("GET", "DELETE"):
        assert kind.call(Call(authorization=f"Bearer {access_token}", method=method, body=b"")).status == 200


@every_one_that_takes_anything
def test_message_that_does_not_call_the_tool_needs_no_more(kind: Kind, access_token: str) -> None:
    for message in (
        tool_call("list_notes"),
        tool_call("WHOAMI"),
        tool_call(["whoami"]),
        tool_call("whoami", params=["whoami"]),
        tool_call("whoami", method="tools/list"),
        {"jsonrpc": "2.0", "id": 1, "result": {"method": "tools/call", "params": {"name": "whoami"}}},
        "tools/call",
        None,
    ):
        assert kind.call(posted(access_token, message)).status == 200


@every_one_of_ours
def test_caller_without_a_token_is_not_listened_to(kind: Kind) -> None:
    assert kind.call(Call(body=b"not JSON")).status == 401


@pytest.mark.requirement("resource-scopes-of-methods")
@every_one_that_takes_anything
def test_http_methods_have_scopes_of_their_own(kind: Kind, configure: Configure, issue: Issue) -> None:
    configure(METHOD_SCOPES={"GET": ["notes:read"], "DELETE": "notes:drop"})
    token, reader = issue().access_token, issue(scope="mcp notes:read").access_token
    assert kind.call(posted(token, {})).status == 200
    assert_more_is_needed(kind.call(Call(authorization=f"Bearer {reader}", method="DELETE")), "mcp notes:drop")
    for method in ("GET", "HEAD"):
        answer = kind.call(Call(authorization=f"Bearer {token}", method=method))
        assert answer.status == 403
        assert 'scope="mcp notes:read"' in str(answer.challenge)
    assert kind.call(Call(authorization=f"Bearer {reader}", method="GET")).status == 200
    # So that the first login asks for enough.
    assert str(kind.call(Call(method="GET")).challenge).startswith('Bearer scope="mcp notes:read"')


@pytest.mark.requirement("resource-scopes-of-methods")
@every_one_that_takes_anything
def test_methods_of_json_rpc_have_scopes_of_their_own(kind: Kind, configure: Configure, issue: Issue) -> None:
    configure(METHOD_SCOPES={"resources/read": ["notes:read"]})
    assert_more_is_needed(kind.call(posted(issue().access_token, READ_SECRET)), "mcp notes:read")
    assert kind.call(posted(issue(scope="mcp notes:read").access_token, READ_SECRET)).status == 200
    assert kind.call(posted(issue().access_token, LIST_TOOLS)).status == 200


@pytest.mark.requirement("resource-implied-scopes")
@every_one_of_ours
def test_wider_scope_passes_where_a_narrower_one_is_needed(kind: Kind, settings: LazySettings, issue: Issue) -> None:
    settings.MCP_OIDC = {
        "ISSUER": ISSUER,
        "SCOPES": {"mcp": "Use it", "notes:admin": "All", "notes:write": "Write", "notes:read": "Read"},
        "RESOURCES": {"/mcp": {"SCOPES": ["notes:read"], "TOOL_SCOPES": {"whoami": ["notes:write"]}}},
        "IMPLIED_SCOPES": {"notes:admin": ["notes:write"], "notes:write": ["notes:read"]},
    }
    answer = kind.call(posted(issue(scope="notes:admin").access_token, CALL_WHOAMI))
    assert answer.status == 200
    # What was approved, and no more, is what the token says.
    assert "notes:write" not in answer.json["scopes"]
    assert_more_is_needed(
        kind.call(posted(issue(scope="notes:read").access_token, CALL_WHOAMI)), "notes:read notes:write"
    )
    other = issue(scope="mcp").access_token
    assert_more_is_needed(kind.call(posted(other, CALL_WHOAMI)), "notes:read notes:write")


def test_token_with_every_scope_is_not_slowed_down_by_reading_the_body(issue: Issue) -> None:
    token = issue(scope="mcp notes:write notes:drop").access_token
    assert asgi_entry_point(posted(token, b"not JSON")).status == 200


def test_scopes_of_calls_can_be_granted(configure: Configure) -> None:
    configure(TOOL_SCOPES={"drop": ["notes:drop"]}, METHOD_SCOPES={"GET": ["notes:read"]})
    resource = app_settings.resource("/mcp", ISSUER)
    assert {"notes:drop", "notes:read"} <= set(app_settings.scopes_for(resource))


@pytest.mark.skipif(not is_installed("mcp 2"), reason="mcp 2 is not installed")
@pytest.mark.parametrize("options", [{"TOOL_SCOPES": {"a": ["b"]}}, {"METHOD_SCOPES": {"GET": ["b"]}}])
def test_middleware_of_the_sdk_is_not_taken_for_one_that_knows_calls(
    options: dict[str, Any], configure: Configure, access_token: str
) -> None:
    from asgiref.sync import async_to_sync
    from django.core.exceptions import ImproperlyConfigured

    from mcp_oidc.resource.mcp_sdk import TokenVerifier, auth_settings

    configure(**options)
    for call in (auth_settings, lambda: async_to_sync(TokenVerifier().verify_token)(access_token)):
        with pytest.raises(ImproperlyConfigured, match="protect"):
            call()


def test_http_method_in_small_letters_is_refused_where_it_would_forbid_nothing() -> None:
    with pytest.raises(ImproperlyConfigured, match="'POST'"):
        protect("/mcp", scopes={"post": ["notes:write"]})
    with pytest.raises(ValueError, match="'DELETE'"):
        RemoteBearerMiddleware(_no_app, RemoteVerifier(ISSUER, RESOURCE), method_scopes={"delete": ["notes:write"]})


async def _no_app(*args: object) -> None:
    raise AssertionError
