"""MCP requests over HTTP: which methods there are, and what their heads say of them ("Streamable HTTP", 2026-07-28)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mcp_oidc.errors import InvalidRequest

HTTP_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# What clients send, of every version of the protocol.
MCP_METHODS = (
    "completion/complete",
    "initialize",
    "logging/setLevel",
    "notifications/cancelled",
    "notifications/initialized",
    "notifications/progress",
    "notifications/roots/list_changed",
    "notifications/tasks/status",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "server/discover",
    "subscriptions/listen",
    "tasks/cancel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/update",
    "tools/call",
    "tools/list",
)
# The member of `params` that Mcp-Name repeats.
NAME_MEMBERS: Mapping[str, str] = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}

_ENCODED = re.compile(r"=\?base64\?(.*)\?=")
_UTF8 = re.compile(r'\s*charset\s*=\s*"?utf-?8"?\s*', re.IGNORECASE)


@dataclass(frozen=True)
class Head:
    """What a request says of itself before its body."""

    http_method: str
    content_type: str = ""
    content_encoding: str = ""
    mcp_method: str | None = None
    mcp_name: str | None = None

    @property
    def is_named(self) -> bool:
        """Whether the head repeats what the body calls."""
        return self.mcp_method is not None or self.mcp_name is not None


def require_methods(names: Iterable[str]) -> None:
    """Raise `ValueError` for an HTTP method in small letters: what it should forbid would be allowed."""
    for name in names:
        if name not in HTTP_METHODS and name.upper() in HTTP_METHODS:
            raise ValueError(f"Write the HTTP method {name!r} as {name.upper()!r}.")


def read_head(http_method: str, header: Callable[[str], str | None]) -> Head:
    """The head of a request; `header` finds the value of one, by its name in lower case."""
    return Head(
        http_method=http_method.upper(),
        content_type=header("content-type") or "",
        content_encoding=header("content-encoding") or "",
        mcp_method=_trimmed(header("mcp-method")),
        mcp_name=_decoded(header("mcp-name")),
    )


def require_plain_utf8(head: Head) -> None:
    """Raise `InvalidRequest` for a body that others would read in another encoding than RFC 8259 8.1 allows."""
    charsets = [part for part in head.content_type.split(";")[1:] if "charset" in part.lower()]
    if head.content_encoding.strip().lower() not in ("", "identity") or not all(map(_UTF8.fullmatch, charsets)):
        raise InvalidRequest("The request body must be JSON in UTF-8, not compressed.")


def _trimmed(value: str | None) -> str | None:
    return None if value is None else value.strip(" \t")


def _decoded(value: str | None) -> str | None:
    text = _trimmed(value)
    found = _ENCODED.fullmatch(text or "")
    if found is None:
        return text
    try:
        return base64.b64decode(found[1], validate=True).decode()
    except (binascii.Error, ValueError):
        # As it stands it is no name that a body could have.
        return text
