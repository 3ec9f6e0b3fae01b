"""Clients, users, codes and tokens, as Authlib asks for them."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin
from authlib.oidc.core import AuthorizationCodeMixin

from tests.upstream.provider_configuration import RelyingParty


@dataclass(frozen=True)
class Client(ClientMixin):
    party: RelyingParty
    redirect_uri: str
    client_metadata: dict[str, Any]

    @property
    def client_id(self) -> str:
        return self.party.client_id

    def get_client_id(self) -> str:
        return self.party.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return hmac.compare_digest(client_secret, self.party.secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == self.party.auth_method

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token")


@dataclass(frozen=True)
class User:
    name: str

    @property
    def sub(self) -> str:
        return f"authlib|{self.name}"


@dataclass(frozen=True)
class Code(AuthorizationCodeMixin):
    code: str
    client_id: str
    user: str
    redirect_uri: str
    scope: str
    nonce: str
    code_challenge: str
    code_challenge_method: str
    auth_time: int

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str:
        return self.nonce

    def get_auth_time(self) -> int:
        return self.auth_time


@dataclass(frozen=True)
class Token(TokenMixin):
    """An access token, or a refresh token, which lasts."""

    token: str
    client_id: str
    user: str
    scope: str
    expires: float | None

    def check_client(self, client: Client) -> bool:
        return self.client_id == client.client_id

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return self.expires is not None and self.expires < time.time()

    def is_revoked(self) -> bool:
        return False
