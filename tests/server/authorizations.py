"""An authorization, step by step: what the client asks, what the person presses, and what the client is told."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from django.http import HttpResponse
from django.test import Client as Browser
from django.utils import timezone

from mcp_oidc.models import AbstractClient
from mcp_oidc.protocol import pkce
from tests.factories import REDIRECT_URI

FORM = "application/x-www-form-urlencoded"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


def request_params(client: AbstractClient, **changes: str | None) -> dict[str, str]:
    """A valid authorization request of `client` with `changes`; None leaves a parameter out."""
    params: dict[str, str | None] = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": REDIRECT_URI,
        "scope": "openid mcp",
        "state": "af0ifjsldkj",
        "code_challenge": pkce.challenge_for(VERIFIER),
        "code_challenge_method": "S256",
        **changes,
    }
    return {name: value for name, value in params.items() if value is not None}


def authorize_url(client: AbstractClient, **changes: str | None) -> str:
    return f"/authorize?{urlencode(request_params(client, **changes))}"


def press(browser: Browser, page: Any, decision: str) -> Any:
    """Press a button of the consent page. Its form has no `action`, so it goes to the address of the page."""
    assert page.status_code == 200, page.content
    return browser.post(page.wsgi_request.get_full_path(), {**form_of(page), "decision": decision})


def answer_of(response: HttpResponse, redirect_uri: str = REDIRECT_URI) -> dict[str, str]:
    """The parameters that a client at `redirect_uri` is told, each of them once."""
    assert response.status_code == 302, response.content
    location = response.headers["Location"]
    assert location.startswith(redirect_uri), location
    pairs = parse_qsl(urlsplit(location).query, keep_blank_values=True, strict_parsing=True, errors="strict")
    assert len(dict(pairs)) == len(pairs), location
    return dict(pairs)


def approve(browser: Browser, client: AbstractClient, **changes: str | None) -> dict[str, str]:
    """Ask for an authorization, and allow it unless that was remembered; what the client is told."""
    response = browser.get(authorize_url(client, **changes))
    if response.status_code == 200:
        response = press(browser, response, "allow")
    return answer_of(response, changes.get("redirect_uri") or REDIRECT_URI)


def age_login(browser: Browser, *, seconds: int) -> None:
    """Let the login of this browser be `seconds` old."""
    session = browser.session
    session["mcp_oidc_logged_in_at"] = (timezone.now() - timedelta(seconds=seconds)).isoformat()
    session.save()


def post_form(path: str, params: dict[str, str], **headers: str) -> HttpResponse:
    """A request of a client that has no cookies, to a server that would ask for a CSRF token if it wanted one."""
    browser = Browser(enforce_csrf_checks=True, raise_request_exception=False)
    return browser.post(path, urlencode(params), content_type=FORM, headers=headers)


def code_params(client: AbstractClient, code: str, /, **changes: str | None) -> dict[str, str]:
    """A valid token request of a public client for `code` with `changes`; None leaves a parameter out."""
    params: dict[str, str | None] = {
        "grant_type": "authorization_code",
        "client_id": client.client_id,
        "code": code,
        "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
        **changes,
    }
    return {name: value for name, value in params.items() if value is not None}


def refresh_params(client: AbstractClient, tokens: Mapping[str, str], **changes: str) -> dict[str, str]:
    """A valid refresh of a public client with `changes`."""
    asked = {"grant_type": "refresh_token", "client_id": client.client_id, "refresh_token": tokens["refresh_token"]}
    return {**asked, **changes}


def assert_still_good(client: AbstractClient, code: str) -> None:
    """A refusal used nothing up: the same code of a public client still opens everything."""
    json_of(post_form("/token", code_params(client, code)), 200)


def redeem(browser: Browser, client: AbstractClient, **changes: str | None) -> dict[str, Any]:
    """A whole authorization of a public client: its tokens."""
    code = approve(browser, client, **changes)["code"]
    tokens: dict[str, Any] = json_of(post_form("/token", code_params(client, code)), 200)
    return tokens


def basic(client_id: str, secret: str) -> str:
    """An Authorization header with both as they are."""
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def json_of(response: HttpResponse, status: int) -> dict[str, Any]:
    """The JSON object of an answer with `status`."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/json"
    document: dict[str, Any] = json.loads(response.content)
    return document


def form_of(page: HttpResponse) -> dict[str, str]:
    """The hidden fields of the one form of a page."""
    return _Page(page).fields


def text_of(page: HttpResponse) -> str:
    """What a person reads on a page."""
    return " ".join("".join(_Page(page).texts).split())


class _Page(HTMLParser):
    def __init__(self, page: HttpResponse) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page.content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        members = dict(attrs)
        if tag == "input" and members.get("type") == "hidden":
            self.fields[str(members["name"])] = str(members["value"])
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass
        if tag != "bdi":
            self.texts.append(" ")

    def handle_data(self, data: str) -> None:
        if not {"style", "title"} & set(self._open):
            self.texts.append(data)
