"""The one place that decides whether a token is enough for a call: by its HTTP method, JSON-RPC method and tool.

What the body calls decides. The headers Mcp-Method and Mcp-Name repeat it: they can close the door before the body is
read, and never open it, since a header may lie. One that disagrees with the body is refused.

The body is read in one way only: what another parser might read differently is refused before it gets there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, RawPostDataException, UnreadablePostError

from mcp_oidc.core.verification import Principal
from mcp_oidc.errors import HeaderMismatch, InsufficientScope, InvalidRequest
from mcp_oidc.protocol.mcp_requests import NAME_MEMBERS, Head, read_head, require_plain_utf8
from mcp_oidc.resource.bearer import Endpoint

# As much as the `mcp` SDK takes by default.
MAX_BODY_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Operation:
    """What one JSON-RPC message calls: its method, and the tool, prompt or resource by name."""

    method: str
    name: str | None = None


def require_scopes_of_head(
    principal: Principal, endpoint: Endpoint, http_method: str, header: Callable[[str], str | None]
) -> Head | None:
    """The head of a request of which only the body tells whether the token is enough; None if it is for sure.

    Raises `InsufficientScope` for what the head alone rules out. `header` finds a header by its name in lower case.
    """
    if not endpoint.message_scopes:
        _require(principal, endpoint, ())
        return None
    if principal.has_scopes((*endpoint.scopes, *endpoint.message_scopes)):
        return None
    head = read_head(http_method, header)
    if head.mcp_method is not None:
        _require(principal, endpoint, [Operation(head.mcp_method, head.mcp_name)])
    return head


def require_scopes_of_body(principal: Principal, body: bytes, head: Head, endpoint: Endpoint) -> None:
    """Raise `InsufficientScope`, with all that is needed, if `body` calls what the token does not cover.

    A batch needs what all its calls need. Raises `InvalidRequest` for what is not JSON, or too large to tell, and
    `HeaderMismatch`.
    """
    # Whatever its method is: a view may look at the body of any request.
    messages = _messages(body, head) if body or head.http_method == "POST" else []
    operations = [operation for message in messages for operation in _operations(message)]
    if body and head.is_named:
        _require_agreement(head, messages, operations)
    _require(principal, endpoint, operations)


def body_of(request: HttpRequest) -> bytes:
    """The body of a Django request. Raises `InvalidRequest` where there is too much of it, or its end is missing."""
    try:
        return request.body
    except (RequestDataTooBig, UnreadablePostError):
        raise InvalidRequest("The request is too large, or ended early.") from None
    except RawPostDataException:
        raise InvalidRequest(
            "The request body is not a JSON-RPC message.", log="something before us has read the body as a form"
        ) from None


def _require(principal: Principal, endpoint: Endpoint, operations: Iterable[Operation]) -> None:
    further = [scope for operation in operations for scope in _scopes_of(operation, endpoint)]
    needed = tuple(dict.fromkeys([*endpoint.scopes, *further])) if further else endpoint.scopes
    if not principal.has_scopes(needed):
        raise InsufficientScope("The access token lacks a scope that this call needs.", scopes=needed)


def _scopes_of(operation: Operation, endpoint: Endpoint) -> tuple[str, ...]:
    of_method = endpoint.method_scopes.get(operation.method, ())
    if operation.method != "tools/call" or operation.name is None:
        return of_method
    return (*of_method, *endpoint.resource.tool_scopes.get(operation.name, ()))


def _messages(body: bytes, head: Head) -> list[Any]:
    require_plain_utf8(head)
    if len(body) > MAX_BODY_BYTES:
        raise InvalidRequest("The request is too large.")
    try:
        # Strictly: json would guess at other encodings of bytes.
        document = json.loads(body.decode(), object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise InvalidRequest("The request body is not a JSON-RPC message.") from None
    messages = document if isinstance(document, list) else [document]
    if any(isinstance(message, list) for message in messages):
        raise InvalidRequest("A batch cannot hold another one.")
    return messages


def _operations(message: Any) -> tuple[Operation, ...]:
    method = _member(message, "method")
    if not isinstance(method, str):
        return ()
    name = _member(_member(message, "params"), NAME_MEMBERS.get(method, ""))
    return (Operation(method, name if isinstance(name, str) else None),)


def _member(value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        return None
    # Some parsers do not tell small letters from capitals in names.
    if any(key != name and key.casefold() == name for key in value):
        raise InvalidRequest(f"A member is not written as it should be: {name}.")
    return value.get(name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    # RFC 8259 4: with a name twice, which one counts differs from parser to parser.
    if len(members) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return members


def _require_agreement(head: Head, messages: list[Any], operations: list[Operation]) -> None:
    # MCP 2026-07-28, "Streamable HTTP": headers that disagree with the body are answered with 400. There are no
    # batches in that version, so headers cannot describe one.
    if len(messages) == 1 and len(operations) == 1 and _agrees(head, operations[0]):
        return
    message_id = messages[0].get("id") if len(messages) == 1 and isinstance(messages[0], dict) else None
    raise HeaderMismatch(
        "The headers Mcp-Method and Mcp-Name do not match the body.",
        message_id=message_id if isinstance(message_id, (str, int)) else None,
    )


def _agrees(head: Head, operation: Operation) -> bool:
    if head.mcp_method not in (None, operation.method):
        return False
    # One that is missing tells no lie, and of other methods it says nothing.
    return operation.method not in NAME_MEMBERS or head.mcp_name in (None, operation.name)
