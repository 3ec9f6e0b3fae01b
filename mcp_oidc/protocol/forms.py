"""Parameters as they come over the wire: form encoded or JSON, parsed strictly.

RFC 6749 3.1 and 3.2: a parameter must not be sent twice, and one without a value counts as left out. A repeated
parameter is refused because two parsers that pick different ones are a hole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from mcp_oidc.errors import InvalidRequest

MAX_FORM_BYTES = 64 * 1024
MAX_FIELDS = 100
MAX_JSON_BYTES = 64 * 1024
MAX_JSON_DEPTH = 10

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Possessive, so that a string without an end costs one pass too.
_JSON_STRING = re.compile(rb'"(?:[^"\\]|\\.?)*+"?', re.DOTALL)


def parse_form(raw: bytes) -> dict[str, str]:
    """The parameters of a query or body. Raises `InvalidRequest` for what is doubled, malformed or too large."""
    return unique_params(parse_pairs(raw))


def parse_pairs(raw: bytes) -> list[tuple[str, str]]:
    """Names and values as they were sent. Raises `InvalidRequest` for what is malformed or too large."""
    if len(raw) > MAX_FORM_BYTES:
        raise InvalidRequest("The request is too large.")
    try:
        text = raw.decode("ascii")
        if _BAD_ESCAPE.search(text):
            raise ValueError("bad escape")
        return parse_qsl(text, keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise InvalidRequest("The request is not valid form encoding of UTF-8 text.") from None


def unique_params(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The parameters that have a value. Raises `InvalidRequest` for one that was sent twice or holds a NUL."""
    params: dict[str, str] = {}
    for name, value in pairs:
        if name in params:
            raise InvalidRequest(f"The parameter {_printable(name)} was sent more than once.")
        if "\0" in name or "\0" in value:
            raise InvalidRequest(f"The parameter {_printable(name)} contains a NUL character.")
        params[name] = value
    return {name: value for name, value in params.items() if value}


def parse_json_object(raw: bytes, *, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """The JSON object in a body. Raises `InvalidRequest`; deep or huge input is refused before it costs anything."""
    if len(raw) > max_bytes:
        raise InvalidRequest("The request is too large.")
    _require_shallow(raw)
    try:
        value = json.loads(raw.decode("utf-8"))
        # A lone surrogate and a number beyond all floats parse but cannot be stored; writing them back finds them.
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")
    except (ValueError, RecursionError):
        raise InvalidRequest("The request body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The request body must be a JSON object.")
    # A backslash that is itself escaped begins no escape.
    if "\\u0000" in text.replace("\\\\", ""):
        raise InvalidRequest("The request body contains a NUL character.")
    return value


def _require_shallow(raw: bytes) -> None:
    depth = 0
    # Without its strings, in which a closing bracket would hide an opening one.
    for byte in _JSON_STRING.sub(b"", raw):
        if byte in b"[{":
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise InvalidRequest("The JSON in the request body is nested too deeply.")
        elif byte in b"]}":
            depth -= 1


def _printable(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "?", name[:40])
