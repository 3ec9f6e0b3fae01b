"""How a client becomes known to the server, and proves to it who it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlencode

from django.test import Client as Browser

from mcp_oidc.protocol import pkce
from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk
from tests.factories import RESOURCE
from tests.journeys.simulation.habits import DOCUMENTS, SIGNER_KEYS, Habit
from tests.server.authorizations import answer_of, basic, press
from tests.server.documents import Web, sign
from tests.server.registrations import register


@dataclass(frozen=True)
class Credentials:
    """What a client proves itself with. `registration` is what it was told when it registered, if it did."""

    client_id: str
    method: str
    registration: dict[str, Any] = field(repr=False)

    def proven(self, params: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """The parameters and headers of a request with `params`."""
        secret = self.registration.get("client_secret", "")
        if self.method == "client_secret_basic":
            return params, {"Authorization": basic(self.client_id, secret)}
        if self.method == "client_secret_post":
            return {**params, "client_id": self.client_id, "client_secret": secret}, {}
        if self.method == "private_key_jwt":
            return {**params, **sign(self.client_id, signing_key())}, {}
        return {**params, "client_id": self.client_id}, {}


@cache
def signing_key() -> SigningJwk:
    """The key of all clients that sign."""
    return generate_jwk("ES256")


def publish_documents() -> None:
    """Put the clients' documents and keys on the web."""
    Web.published = {**DOCUMENTS, SIGNER_KEYS: {"keys": [signing_key().public]}}


def introduce(habit: Habit) -> Credentials:
    """Register the client, unless it has a document."""
    if habit.document:
        return Credentials(habit.document, habit.auth_method, {})
    members: dict[str, Any] = {
        "client_name": habit.kind,
        "redirect_uris": [habit.redirect_uri],
        "token_endpoint_auth_method": habit.auth_method,
    }
    if habit.auth_method == "private_key_jwt":
        members["jwks"] = {"keys": [signing_key().public]}
    registration = register(**members)
    return Credentials(registration["client_id"], habit.auth_method, registration)


def authorize(browser: Browser, credentials: Credentials, habit: Habit) -> dict[str, str]:
    """What a person does whose browser is logged in: approve the client. Its token request."""
    verifier = pkce.new_verifier()
    params = {
        "response_type": "code",
        "client_id": credentials.client_id,
        "redirect_uri": habit.redirect_uri,
        "resource": RESOURCE,
        "scope": habit.scope,
        "state": "state-of-the-client",
        "code_challenge": pkce.challenge_for(verifier),
        "code_challenge_method": "S256",
    }
    page = browser.get(f"/authorize?{urlencode(params)}")
    # What was remembered is not asked again.
    answer = answer_of(press(browser, page, "allow") if page.status_code == 200 else page, habit.redirect_uri)
    return {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": habit.redirect_uri,
        "code_verifier": verifier,
    }
