"""What a body calls. It decides which scopes a request needs; the head may repeat it, and must not disagree.

The body is read in one way only: what another parser might read differently is refused before it gets there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mcp_oidc.errors import HeaderMismatch, InvalidRequest
from mcp_oidc.protocol.mcp_requests import NAME_MEMBERS, Head, require_plain_utf8

# As much as the `mcp` SDK takes by default.
MAX_BODY_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Operation:
    """What one JSON-RPC message calls: its method, and the tool, prompt or resource by name."""

    method: str
    name: str | None = None


def called_operations(body: bytes, head: Head) -> list[Operation]:
    """What all messages in `body` call, a batch included.

    Raises `InvalidRequest` for what is not JSON, or too large to tell, and `HeaderMismatch`.
    """
    # Whatever its method is: an app may look at the body of any request.
    messages = _messages(body, head) if body or head.http_method == "POST" else []
    operations = [operation for message in messages for operation in _operations(message)]
    if body and head.is_named:
        _require_agreement(head, messages, operations)
    return operations


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
