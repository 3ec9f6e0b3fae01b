"""Nonsense at every endpoint: refused in the protocol's own terms, with no trace of what was going on inside."""

from __future__ import annotations

import base64
import json
from itertools import product
from typing import Any

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.test import Client as Browser
from django.urls import reverse

from mcp_oidc import urls
from mcp_oidc.models import AbstractClient
from tests.server.authorizations import FORM, authorize_url

PATHS = [
    *(
        reverse(f"mcp_oidc:{pattern.name}", kwargs=dict.fromkeys(pattern.pattern.converters, "x"))
        for pattern in urls.urlpatterns
        if pattern.name
    ),
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-protected-resource/mcp",
]
# For people: errors are pages. Everywhere else they are JSON.
PAGES = {"/authorize", "/oauth/login", "/oauth/callback", "/oauth/logout"}

pytestmark = [pytest.mark.requirement("nonsense"), pytest.mark.usefixtures("signing_key")]


@pytest.fixture
def visitor() -> Browser:
    return Browser(raise_request_exception=False)


def assert_sane(response: Any, path: str) -> None:
    """No fault of the server's, no trace of its code, and the error in a form that the caller can read."""
    text = response.content.decode()
    assert response.status_code < 500, text
    assert "Traceback" not in text
    assert "Exception" not in text
    if response.status_code == 405:
        assert response["Allow"]
    elif response.status_code >= 400 and path not in PAGES and response.request["REQUEST_METHOD"] != "HEAD":
        document = json.loads(text)
        assert isinstance(document["error"], str)
        assert "null" not in text


@pytest.mark.parametrize("path", PATHS)
def test_any_method(visitor: Browser, path: str) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FOO"):
        assert_sane(visitor.generic(method, path), path)


BODIES = {
    "empty": b"",
    "one megabyte": b"a=" + b"x" * 1_000_000,
    "one megabyte of fields": b"a=b&" * 250_000,
    "raw NUL": b"client_id=\0&token=\0&grant_type=\0",
    "escaped NUL": b"client_id=%00&token=a%00b&grant_type=refresh_token&refresh_token=%00",
    "NUL in a name": b"%00=1&client_id=x",
    "invalid UTF-8": b"client_id=\xff\xfe&token=\xc3\x28",
    "escaped invalid UTF-8": b"client_id=%ff%fe&token=%c3%28",
    "escaped surrogate": b"client_id=%ed%a0%80&token=x",
    "broken escape": b"client_id=%zz&token=%",
    "doubled": b"client_id=x&client_id=x&grant_type=a&grant_type=b",
    "deep JSON": b"[" * 50_000,
    "JSON": b'{"client_id": "x", "redirect_uris": ["http://127.0.0.1/"], "x": {"a": [null, 1e999]}}',
    "JSON number": b"9" * 5_000,
    "JSON surrogate": b'{"redirect_uris": ["http://127.0.0.1/"], "client_name": "\\udfff"}',
    "brackets": b"resource=http://[a/&redirect_uri=http://[::1&client_id=x",
    "XML": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]><x>&y;</x>',
}
CONTENT_TYPES = [
    FORM,
    "application/json",
    "application/json; charset=utf-7",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "text/html",
    "application/x-www-form-urlencoded; charset=nonsense",
    "/;;=",
    "",
]


@pytest.mark.parametrize("path", PATHS)
def test_any_body(visitor: Browser, path: str) -> None:
    for body, content_type in product(BODIES.values(), CONTENT_TYPES):
        assert_sane(visitor.generic("POST", path, body, content_type=content_type), path)


QUERIES = {
    "very long": "x=" + "a" * 100_000,
    "many fields": "a=b&" * 20_000,
    "raw NUL": "client_id=\0&state=\0",
    "escaped NUL": "client_id=%00&state=%00&code=%00&next=%00&id_token_hint=%00",
    "invalid UTF-8": "client_id=%ff&state=%c3%28&next=%ff&code=%ff",
    "raw UTF-8": "client_id=é&state=🐎&next=/é",
    "broken escape": "client_id=%zz&state=%&next=%",
    "brackets": "next=http://[a/&client_id=http://[a/&redirect_uri=http://[",
    "elsewhere": "next=//evil.example&next=https:evil.example&next=\\\\evil.example",
    "newlines": "next=/%0d%0aSet-Cookie:a=b&state=%0d%0a&error=%0d%0a",
    "separators": "&&&===???///;;;",
}


@pytest.mark.parametrize("path", PATHS)
def test_any_query(visitor: Browser, path: str) -> None:
    for query, method in product(QUERIES.values(), ("GET", "POST")):
        response = visitor.generic(method, path, QUERY_STRING=query.encode().decode("latin-1"), content_type=FORM)
        assert_sane(response, path)
        assert "evil.example" not in response.get("Location", "")


AUTHORIZATIONS = [
    "Basic",
    "Basic " + "A" * 100_000,
    "Basic " + base64.b64encode(b"\0:\0").decode(),
    "Basic " + base64.b64encode(b"\xff:\xff").decode(),
    "Basic " + base64.b64encode(b"%00:%zz").decode(),
    "Basic " + base64.b64encode(b"a:b:c").decode(),
    "Bearer",
    "Bearer " + "A" * 100_000,
    "Bearer " + ".".join(["e30"] * 3),
    "Bearer " + ".".join(["A" * 20_000] * 3),
    "Bearer eyJhbGciOiJub25lIn0.e30.",
    "Bearer mcpr_" + "A" * 76,
    "Bearer \xff",
    "\xff\xfe",
    ",,,",
    " ",
]


@pytest.mark.parametrize("path", PATHS)
def test_any_authorization_header(visitor: Browser, path: str) -> None:
    for header in AUTHORIZATIONS:
        for method in ("GET", "POST"):
            headers = {"Authorization": header}
            response = visitor.generic(method, path, b"token=x&grant_type=y", content_type=FORM, headers=headers)
            assert_sane(response, path)


@pytest.mark.parametrize("path", PATHS)
def test_any_other_header(visitor: Browser, path: str) -> None:
    odd = "\xff\t<script>'\"" + "x" * 5_000
    names = ("Accept", "Accept-Language", "Cookie", "Origin", "User-Agent", "X-Forwarded-For", "If-None-Match", "Range")
    for name in names:
        assert_sane(visitor.get(path, headers={name: odd}), path)
    assert_sane(visitor.get(path, REMOTE_ADDR="not an address"), path)
    assert_sane(visitor.generic("POST", path, b"a=b", content_type=FORM, CONTENT_LENGTH="-7"), path)


def test_any_decision_at_the_consent_page(
    user: AbstractBaseUser, visitor: Browser, public_client: AbstractClient
) -> None:
    visitor.force_login(user)
    url = authorize_url(public_client)
    for body, content_type in product(BODIES.values(), CONTENT_TYPES):
        assert_sane(visitor.generic("POST", url, body, content_type=content_type), "/authorize")
