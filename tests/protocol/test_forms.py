"""Parameters over the wire: strict about what two parsers could read differently or a database cannot hold."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_oidc.errors import InvalidRequest
from mcp_oidc.protocol.forms import (
    MAX_FIELDS,
    MAX_FORM_BYTES,
    MAX_JSON_BYTES,
    MAX_JSON_DEPTH,
    parse_form,
    parse_json_object,
)


def test_form_is_read_as_utf_8() -> None:
    assert parse_form(b"a=1&b=%C3%A9+x%2By&c=a%3Db") == {"a": "1", "b": "\u00e9 x+y", "c": "a=b"}


@pytest.mark.requirement("no-doubled-parameter")
@pytest.mark.parametrize("raw", [b"a=1&a=1", b"a=1&a=2", b"a=&a=1", b"a=1&b=2&%61=3"])
def test_doubled_parameter_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest, match="The parameter a was sent more than once"):
        parse_form(raw)


@pytest.mark.requirement("empty-parameter-omitted")
@pytest.mark.parametrize("raw", [b"", b"a=", b"a", b"a=&b", b"&&"])
def test_parameter_without_a_value_counts_as_left_out(raw: bytes) -> None:
    assert parse_form(raw) == {}


@pytest.mark.parametrize(
    "raw",
    [
        b"a=%00",
        b"%00=a",
        b"a=%zz",
        b"a=%",
        b"a=%e9",
        b"a=%ed%a0%80",
        b"a=\xc3\xa9",
        b"a=\xff",
        b"a=" + b"x" * MAX_FORM_BYTES,
        b"&".join(b"p%d=1" % number for number in range(MAX_FIELDS + 1)),
    ],
    ids=repr,
)
def test_malformed_or_huge_form_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_form(raw)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_form_or_a_refusal(raw: bytes) -> None:
    try:
        params = parse_form(raw)
    except InvalidRequest:
        return
    for name, value in params.items():
        assert value
        assert "\0" not in name + value
        (name + value).encode()


def test_name_of_a_parameter_is_repeated_in_harmless_characters() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_form(b"%22%3Cb%3E%0A=1&%22%3Cb%3E%0A=2")
    assert refusal.value.description == "The parameter ??b?? was sent more than once."


def test_json_object_is_read() -> None:
    document = {"client_name": "\u00e9 [x] \\u0000", "redirect_uris": ["cursor://a/b"], "n": [1, 2.5, None, True]}
    assert parse_json_object(json.dumps(document).encode()) == document


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"1",
        b'"x"',
        b"[]",
        b"{",
        b"{} {}",
        b'{"a":1,}',
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"a":"\\u0000"}',
        b'{"a":["\\\\\\u0000"]}',
        b'{"\\u0000":1}',
        b'{"a":"\x00"}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"' + b"x" * MAX_JSON_BYTES + b'"}',
    ],
    ids=lambda raw: repr(raw[:30]),
)
def test_json_that_cannot_be_kept_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_json_object(raw)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_json_is_refused_by_its_depth(opening: bytes) -> None:
    closing = {b"[": b"]", b'{"a":': b"}"}[opening]

    def nested(depth: int) -> bytes:
        return b'{"x":' + opening * (depth - 1) + b"1" + closing * (depth - 1) + b"}"

    assert parse_json_object(nested(MAX_JSON_DEPTH))
    for depth in (MAX_JSON_DEPTH + 1, 10_000):
        with pytest.raises(InvalidRequest, match="nested too deeply"):
            parse_json_object(nested(depth))


def test_brackets_in_a_string_neither_hide_depth_nor_count_as_depth() -> None:
    hidden = b'{"a":["' + b"]" * 500 + b'\\"]",' + b"[" * 400 + b"]" * 400 + b"]}"
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        parse_json_object(hidden)
    assert parse_json_object(json.dumps({"name": "[" * 50 + '"' + "{" * 50}).encode())


@pytest.mark.parametrize("raw", [b'{"a":"' + b'\\"' * 32_000, b'{"a":"' + b"\\" * 60_001, b'"' * 65_000, b"[" * 65_000])
def test_hostile_json_is_refused_in_no_time(raw: bytes) -> None:
    # Of this process's own, so that a machine that is busy with others makes no difference.
    start = time.process_time()
    with pytest.raises(InvalidRequest):
        parse_json_object(raw)
    assert time.process_time() - start < 2


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), st.lists, max_leaves=20))
def test_any_json_is_kept_or_refused(value: object) -> None:
    try:
        read = parse_json_object(json.dumps({"a": value}).encode())
    except InvalidRequest:
        return
    json.dumps(read, allow_nan=False, ensure_ascii=False).encode()
