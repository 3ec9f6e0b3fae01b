"""A browser without a screen, between the server under test and the provider of `tests.idp`."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import LazySettings
from django.http import HttpResponse
from django.test import Client

from tests.idp import Idp


class Browser:
    """What one browser does. Its cookies are its own."""

    def __init__(self, idp: Idp) -> None:
        self.idp = idp
        self.client = Client()

    def begin(self, next_url: str = "/after") -> str:
        """Begin a login; the URL at the provider that the browser is sent to."""
        response = self.client.get("/oauth/login", {"next": next_url})
        assert response.status_code == 302, response.content
        return str(response.headers["Location"])

    def come_back(self, callback_url: str) -> HttpResponse:
        """Open the URL that the provider sent the browser to."""
        parts = urlsplit(callback_url)
        return self.client.get(f"{parts.path}?{parts.query}")

    def log_in(self, sub: str = "alice", *, next_url: str = "/after") -> HttpResponse:
        """A whole login; what the callback answered."""
        return self.come_back(self.idp.log_in(self.begin(next_url), sub))

    def deny(self, next_url: str = "/after") -> HttpResponse:
        """A login at which the person says no; what the callback answered."""
        return self.come_back(self.idp.log_in(self.begin(next_url), deny=True))

    def who(self) -> dict[str, Any]:
        """Who is logged in, as far as the authorization endpoint may rely on it."""
        answer: dict[str, Any] = self.client.get("/after").json()
        return answer


def configure_upstream(settings: LazySettings, upstream: dict[str, Any]) -> None:
    """Put `upstream` into MCP_OIDC."""
    settings.MCP_OIDC = {**settings.MCP_OIDC, "UPSTREAM": upstream}


def authorize_url(client_id: str, **params: str) -> str:
    """The path of a valid authorization request."""
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": "http://127.0.0.1:33418/callback",
        "state": "client-state",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
        **params,
    }
    return f"/authorize?{urlencode(query)}"
