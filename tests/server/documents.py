"""Metadata documents of clients, published on a web that tests hold in their hands."""

from __future__ import annotations

import secrets
import time
from typing import Any, ClassVar

from django.core.cache.backends.locmem import LocMemCache
from oauth2_provider.cimd import CIMDError

from mcp_oidc.protocol.client_assertions import ASSERTION_TYPE
from mcp_oidc.protocol.jwks import SigningJwk
from mcp_oidc.protocol.jwts import sign_jwt
from tests.factories import ISSUER

APP = "https://app.example/client.json"
APP_REDIRECT = "https://app.example/callback"

# As CLIENTS.md describes them.
CHATGPT = "https://chatgpt.com/oauth/6f1c0a/client.json"
CHATGPT_KEYS = "https://chatgpt.com/oauth/jwks.json"
CHATGPT_REDIRECT = "https://chatgpt.com/connector/oauth/6f1c0a"
CHATGPT_DOCUMENT = {
    "client_id": CHATGPT,
    "client_name": "ChatGPT",
    "client_uri": "https://chatgpt.com",
    "redirect_uris": [CHATGPT_REDIRECT],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "private_key_jwt",
    "token_endpoint_auth_methods_supported": ["private_key_jwt", "none"],
    "token_endpoint_auth_signing_alg": "RS256",
    "jwks_uri": CHATGPT_KEYS,
}
CLAUDE_CODE = "https://claude.ai/oauth/claude-code-client-metadata"
CLAUDE_CODE_DOCUMENT = {
    "client_id": CLAUDE_CODE,
    "client_name": "Claude Code",
    "client_uri": "https://claude.ai",
    "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
}


class Web:
    """In the place of DOT's fetcher: what is published, and what was fetched."""

    published: ClassVar[dict[str, Any]] = {}
    fetched: ClassVar[list[str]] = []
    max_age = 300

    def fetch(self, url: str) -> tuple[Any, int]:
        self.fetched.append(url)
        if url not in self.published:
            raise CIMDError("HTTP 404")
        if isinstance(self.published[url], Exception):
            raise self.published[url]
        return self.published[url], self.max_age


class BrokenCache(LocMemCache):
    """A cache whose server does not answer."""

    def get(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("no answer")

    def set(self, *args: Any, **kwargs: Any) -> None:
        raise ConnectionError("no answer")


def make_document(url: str = APP, **changes: Any) -> dict[str, Any]:
    """A valid document of a public client with `changes`; None leaves a member out."""
    document = {
        "client_id": url,
        "client_name": "Example app",
        "redirect_uris": [APP_REDIRECT],
        "token_endpoint_auth_method": "none",
        **changes,
    }
    return {name: value for name, value in document.items() if value is not None}


def make_claims(client_id: str, **changes: Any) -> dict[str, Any]:
    """The claims of a valid assertion with `changes`; None leaves a claim out."""
    now = int(time.time())
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": ISSUER,
        "iat": now,
        "exp": now + 60,
        "jti": secrets.token_hex(8),
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def sign(client_id: str, key: SigningJwk, **changes: Any) -> dict[str, str]:
    """The parameters of a request that `client_id` proves itself in."""
    assertion = sign_jwt(make_claims(client_id, **changes), key, typ="JWT")
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
