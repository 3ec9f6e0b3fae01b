"""Clients replayed over HTTP: what each of them registers, asks and sends, in the form in which it sends it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.test import Client as Browser

from mcp_oidc.protocol import pkce
from tests.factories import RESOURCE
from tests.server.authorizations import VERIFIER, answer_of, json_of, post_form, press

STATE = "xyzABC123"


@dataclass
class ReplayedClient:
    """A client after its registration. `sent_resource` and `scope` are what it has read off our documents."""

    registered: dict[str, Any]
    redirect_uri: str
    scope: str = "mcp"
    state: str = STATE
    sent_resource: str | None = RESOURCE
    # How it authenticates at the token endpoint: in the body (by its id alone if nothing is said) and in headers.
    credentials: dict[str, str] | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def client_id(self) -> str:
        return str(self.registered["client_id"])

    def ask(self, browser: Browser, **changes: str) -> Any:
        """The consent page that its authorization request leads to, for somebody who is logged in."""
        params = {
            "response_type": "code",
            "client_id": self.client_id,
            "code_challenge": pkce.challenge_for(VERIFIER),
            "code_challenge_method": "S256",
            "redirect_uri": self.redirect_uri,
            "state": self.state,
            "scope": self.scope,
            **self._resource(),
            **changes,
        }
        return browser.get(f"/authorize?{urlencode(params)}")

    def log_in(self, browser: Browser, **changes: str) -> dict[str, str]:
        """What its redirect URI is sent once the person pressed Allow."""
        page = self.ask(browser, **changes)
        return answer_of(press(browser, page, "allow"), changes.get("redirect_uri", self.redirect_uri))

    def exchange(self, code: str, **changes: str) -> HttpResponse:
        params = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": VERIFIER,
            "redirect_uri": self.redirect_uri,
            **self._resource(),
            **self._credentials(),
            **changes,
        }
        return post_form("/token", params, **self.headers)

    def refresh(self, tokens: Mapping[str, str], **changes: str) -> HttpResponse:
        params = {
            "grant_type": "refresh_token",
            "refresh_token": tokens["refresh_token"],
            **self._resource(),
            **self._credentials(),
            **changes,
        }
        return post_form("/token", params, **self.headers)

    def connect(self, browser: Browser) -> dict[str, Any]:
        """A whole login, and the first refresh: the tokens that it holds afterwards."""
        tokens = json_of(self.exchange(self.log_in(browser)["code"]), 200)
        return json_of(self.refresh(tokens), 200)

    def _credentials(self) -> dict[str, str]:
        return {"client_id": self.client_id} if self.credentials is None else self.credentials

    def _resource(self) -> dict[str, str]:
        return {} if self.sent_resource is None else {"resource": self.sent_resource}


def register(document: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a registration, as clients send it: without cookies, and with a content type and nothing else."""
    answer = Browser(enforce_csrf_checks=True).post(
        "/register", json.dumps(document), content_type="application/json", headers={"Accept": "*/*"}
    )
    return json_of(answer, 201)


def values_in(document: object) -> list[object]:
    """Every value of a JSON document, however deep."""
    children: list[object] = []
    if isinstance(document, dict):
        children = list(document.values())
    if isinstance(document, list):
        children = document
    return [document, *(value for child in children for value in values_in(child))]
