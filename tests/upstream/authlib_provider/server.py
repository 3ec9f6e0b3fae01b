"""Authlib's authorization server with every part that a provider needs."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core import OpenIDCode
from authlib.oidc.rpinitiated import EndSessionEndpoint
from flask import Flask, session
from joserfc.jwk import ECKey, KeySet

from tests.upstream.authlib_provider.records import Client, Code, Token, User
from tests.upstream.authlib_provider.rows import Rows
from tests.upstream.provider_configuration import ID_TOKEN_LIFETIME, USERS, ProviderConfiguration

CONFIGURATION = ProviderConfiguration.from_environment()
ISSUER = CONFIGURATION.origin
ALGORITHM = "ES256"
KEYS = [ECKey.import_key(pem) for pem in CONFIGURATION.keys]
rows = Rows(Path(CONFIGURATION.home) / "provider.sqlite3")


def find_client(client_id: str) -> Client | None:
    party = CONFIGURATION.relying_party(client_id)
    if party is None:
        return None
    metadata = {"post_logout_redirect_uris": [CONFIGURATION.post_logout_redirect_uri]}
    return Client(party, CONFIGURATION.redirect_uri, metadata)


def claims_of(user: User) -> dict[str, Any]:
    """What userinfo says."""
    return {"sub": user.sub, **USERS[user.name]}


def lifetime_of(client: Client, grant_type: str) -> int:
    """Of access tokens, in seconds."""
    return client.party.lifetime


def save_token(answer: dict[str, Any], request: Any) -> None:
    shared = {"client_id": request.client.client_id, "user": request.user.name, "scope": answer["scope"]}
    access = Token(answer["access_token"], **shared, expires=time.time() + answer["expires_in"])
    rows.put("access", access.token, asdict(access))
    if "refresh_token" in answer:
        refresh = Token(answer["refresh_token"], **shared, expires=None)
        rows.put("refresh", refresh.token, asdict(refresh))


class CodeGrant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]

    def save_authorization_code(self, code: str, request: Any) -> None:
        sent = request.payload.data
        kept = Code(
            code=code,
            client_id=request.client.client_id,
            user=request.user.name,
            redirect_uri=request.payload.redirect_uri,
            scope=request.payload.scope,
            nonce=sent["nonce"],
            code_challenge=sent["code_challenge"],
            code_challenge_method=sent["code_challenge_method"],
            auth_time=session["auth_time"],
        )
        rows.put("code", code, asdict(kept))
        rows.put("nonce", kept.nonce, {})

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        members = rows.get("code", code)
        return Code(**members) if members and members["client_id"] == client.client_id else None

    def delete_authorization_code(self, authorization_code: Code) -> None:
        rows.drop("code", authorization_code.code)

    def authenticate_user(self, authorization_code: Code) -> User:
        return User(authorization_code.user)


class RefreshGrant(RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = CodeGrant.TOKEN_ENDPOINT_AUTH_METHODS

    @property
    def INCLUDE_NEW_REFRESH_TOKEN(self) -> bool:  # noqa: N802  # Authlib's name
        return bool(self.request.client.party.rotates)

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        members = rows.get("refresh", refresh_token)
        return Token(**members) if members else None

    def authenticate_user(self, refresh_token: Token) -> User:
        return User(refresh_token.user)

    def revoke_old_credential(self, refresh_token: Token) -> None:
        if self.INCLUDE_NEW_REFRESH_TOKEN:
            rows.drop("refresh", refresh_token.token)


class IdTokens(OpenIDCode):
    def exists_nonce(self, nonce: str, request: Any) -> bool:
        return rows.get("nonce", nonce) is not None

    def resolve_client_private_key(self, client: Client) -> ECKey:
        return KEYS[0]

    def get_client_algorithm(self, client: Client) -> str:
        return ALGORITHM

    def get_encode_header(self, client: Client) -> dict[str, str]:
        return {"alg": ALGORITHM, "kid": KEYS[0].thumbprint()}

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        return {"iss": ISSUER, "aud": [client.client_id], "exp": int(time.time()) + ID_TOKEN_LIFETIME}

    def get_compatible_claims(self, request: Any) -> dict[str, Any]:
        claims: dict[str, Any] = super().get_compatible_claims(request)
        return {**claims, **claims_of(request.user)} if request.client.party.has_full_id_tokens else claims

    def generate_user_info(self, user: User, scope: str) -> dict[str, Any]:
        return {"sub": user.sub}


class Assertions(JWTBearerClientAssertion):
    CLIENT_AUTH_METHOD = "private_key_jwt"

    def get_audiences(self) -> list[str]:
        return [ISSUER, f"{ISSUER}/token"]

    def validate_jti(self, claims: dict[str, Any], jti: str) -> bool:
        is_new = rows.get("jti", jti) is None
        rows.put("jti", jti, {})
        return is_new

    def resolve_client_public_key(self, client: Client) -> ECKey:
        return ECKey.import_key(client.party.jwk)


class AccessTokens(BearerTokenValidator):
    def authenticate_token(self, token_string: str) -> Token | None:
        members = rows.get("access", token_string)
        return Token(**members) if members else None


class EndSession(EndSessionEndpoint):
    def get_server_jwks(self) -> KeySet:
        return KeySet(KEYS)

    def end_session(self, end_session_request: Any) -> None:
        session.clear()


class Iss(IssuerParameter):
    def get_issuer(self) -> str:
        return ISSUER


def make_server(app: Flask) -> AuthorizationServer:
    """The server, with its grants and endpoints."""
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = f"{__name__}.lifetime_of"
    server = AuthorizationServer(app, query_client=find_client, save_token=save_token)
    server.register_client_auth_method(Assertions.CLIENT_AUTH_METHOD, Assertions())
    server.register_grant(CodeGrant, [IdTokens(require_nonce=True), CodeChallenge(required=True)])
    server.register_grant(RefreshGrant)
    server.register_endpoint(EndSession)
    server.register_extension(Iss())
    return server


protector = ResourceProtector()
protector.register_token_validator(AccessTokens())
