"""An OpenID provider for tests: strict about what we send, and wrong where it is told to be.

`tests.idp_server.running_idp` makes one and serves it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus, urlencode

import requests

from tests.idp_tokens import key_of, merged, read_assertion, sign, to_base64, token_hash

Params = dict[str, str]


class Refused(Exception):
    """A request that a strict provider does not take: an OAuth error code and the reason."""

    def __init__(self, code: str, reason: str, status: int = 400) -> None:
        super().__init__(f"{code}: {reason}")
        self.code, self.status = code, status


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: Params = field(default_factory=dict)


@dataclass
class Grant:
    """What a user allowed: behind a code, a refresh token or an access token."""

    sub: str
    params: Params
    session: str
    spent: bool = False


@dataclass
class Idp:
    """The provider. Its attributes are its settings, and may be changed while it runs."""

    issuer: str = ""
    # Both need escaping, each in the ways in which it is sent.
    client_id: str = "relying:party"
    client_secret: str = "s3cret: ü&=+/"
    # Our public key as it was registered, for private_key_jwt.
    client_jwk: dict[str, Any] = field(default_factory=dict)
    redirect_uris: tuple[str, ...] = ("http://testserver/oauth/callback",)
    auth_methods: tuple[str, ...] | None = ("client_secret_basic",)
    algorithm: str = "RS256"
    users: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "alice": {"name": "Alice", "email": "alice@example.com", "email_verified": True},
            "bob": {"name": "Bob"},
        }
    )
    # Who has left: no login and no refresh any more.
    disabled: set[str] = field(default_factory=set)
    # The `sid` of logins from now on.
    session: str = "session-at-the-idp"
    # Over the metadata, the ID token's claims and header, userinfo, and the token answer; None takes a member away.
    metadata: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    token_answer: dict[str, Any] = field(default_factory=dict)
    # Userinfo as a JWT, perhaps forged, or whatever else in its place.
    signs_userinfo: bool = False
    userinfo_forgery: str = ""
    userinfo_reply: Reply | None = None
    # Over what comes back to the callback.
    answer: dict[str, Any] = field(default_factory=dict)
    has_sub_only_id_tokens: bool = False
    has_refresh_tokens: bool = True
    has_revocation: bool = False
    rotates: bool = False
    expires_in: int | None = 3600
    # Added to every answer.
    headers: Params = field(default_factory=dict)
    # By endpoint: a status, or one of "garbage", "array", "redirect", "oversized", "hang", "close", or one of
    # `tests.idp_server` that comes drop by drop.
    faults: dict[str, int | str] = field(default_factory=dict)
    # By endpoint: seconds that an answer takes.
    delays: dict[str, float] = field(default_factory=dict)
    # Refuses refreshes with this error code.
    refuses_refresh: str = ""
    # Refuses with this error code to revoke any token.
    refuses_revocation: str = ""
    # What it says, with 401, to a client that does not prove to be this one.
    refuses_clients: str = "invalid_client"
    published_keys: list[str] = field(default_factory=lambda: ["first"])
    signing_key: str = "first"
    # "none" and "HS256" forge; the other names sign with that algorithm.
    forgery: str = ""
    key_members: dict[str, Any] = field(default_factory=dict)
    # What came in.
    last_headers: Params = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    forms: list[Params] = field(default_factory=list)
    # Header and claims of those that were taken.
    assertions: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    codes: dict[str, Grant] = field(default_factory=dict)
    refresh_tokens: dict[str, Grant] = field(default_factory=dict)
    access_tokens: dict[str, Grant] = field(default_factory=dict)
    pending: dict[str, Params] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def upstream(self) -> dict[str, Any]:
        """MCP_OIDC["UPSTREAM"] for this provider."""
        return {"ISSUER": self.issuer, "CLIENT_ID": self.client_id, "CLIENT_SECRET": self.client_secret}

    def log_in(self, location: str, sub: str = "alice", *, deny: bool = False) -> str:
        """What a person does in a browser: open `location`, fill in the form, and be sent to the URL returned."""
        page = requests.get(location, allow_redirects=False, timeout=60)
        assert page.status_code == 200, page.text
        found = re.search(r'name="request" value="([^"]+)"', page.text)
        assert found
        decision = {"request": found[1], "sub": sub, "decision": "deny" if deny else "allow"}
        done = requests.post(f"{self.issuer}/decide", data=decision, allow_redirects=False, timeout=60)
        assert done.status_code == 302, done.text
        return done.headers["Location"]

    def rotate_key(self, name: str = "second") -> None:
        """Sign with another key, and publish no other."""
        self.signing_key, self.published_keys = name, [name]

    def logout_token(self, sub: str | None = "alice", **changes: Any) -> str:
        """What says that a user is logged out (Back-Channel Logout 1.0 2.4), with `changes` to its claims."""
        now = int(time.time())
        event = {"http://schemas.openid.net/event/backchannel-logout": {}}
        claims = {"iss": self.issuer, "aud": self.client_id, "iat": now, "exp": now + 120, "events": event, "sub": sub}
        header = {"typ": "logout+jwt", **self.header}
        return sign(
            merged({"jti": secrets.token_urlsafe(16), **claims}, changes),
            self.algorithm,
            self.signing_key,
            header=header,
            forgery=self.forgery,
        )

    def disable(self, sub: str) -> None:
        """The user has left: nothing is given to them any more, and their tokens end."""
        self.disabled.add(sub)
        for tokens in (self.access_tokens, self.refresh_tokens):
            for token in [token for token, grant in tokens.items() if grant.sub == sub]:
                del tokens[token]

    def respond(self, endpoint: str, query: Params, form: Params, headers: Mapping[str, str]) -> Reply:
        self.last_headers = dict(headers)
        answers = {
            "discovery": lambda: _json(merged(self._metadata(), self.metadata)),
            "jwks": lambda: _json({"keys": [self._jwk(name) for name in self.published_keys]}),
            "authorize": lambda: self._authorize(query),
            "decide": lambda: self._decide(form),
            "token": lambda: self._token(form, headers),
            "userinfo": lambda: self._userinfo(headers),
            "revocation": lambda: self._revoke(form, headers),
        }
        try:
            return answers[endpoint]()
        except Refused as error:
            return _json({"error": error.code, "error_description": str(error)}, error.status)

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/jwks",
            "end_session_endpoint": f"{self.issuer}/logout",
            **({"revocation_endpoint": f"{self.issuer}/revoke"} if self.has_revocation else {}),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.algorithm],
            "token_endpoint_auth_methods_supported": self.auth_methods and list(self.auth_methods),
            "authorization_response_iss_parameter_supported": True,
        }

    def _jwk(self, name: str) -> dict[str, Any]:
        jwk = key_of(self.algorithm, name).as_dict(private=False)
        return merged({**jwk, "use": "sig", "alg": self.algorithm}, self.key_members)

    def _authorize(self, query: Params) -> Reply:
        _require(query.get("client_id") == self.client_id, "invalid_client", "unknown client")
        _require(query.get("redirect_uri") in self.redirect_uris, "invalid_request", "redirect_uri not registered")
        _require(query.get("response_type") == "code", "unsupported_response_type", "code flow only")
        _require("openid" in query.get("scope", "").split(), "invalid_scope", "openid is missing")
        _require(query.get("code_challenge_method") == "S256", "invalid_request", "S256 is required")
        _require(len(query.get("code_challenge", "")) == 43, "invalid_request", "no S256 challenge")
        _require(
            len(query.get("state", "")) >= 32 and len(query.get("nonce", "")) >= 32, "invalid_request", "too short"
        )
        _require("resource" not in query, "invalid_target", "AADSTS9010010")
        request = secrets.token_urlsafe(8)
        self.pending[request] = query
        page = f'<form method="post" action="/decide"><input name="request" value="{request}"><input name="sub"></form>'
        return Reply(body=page.encode(), headers={"Content-Type": "text/html"})

    def _decide(self, form: Params) -> Reply:
        params = self.pending.pop(form["request"])
        answer: dict[str, Any] = {"error": "access_denied", "error_description": "no"}
        if form["decision"] == "allow" and form["sub"] not in self.disabled:
            code = secrets.token_urlsafe(16)
            self.codes[code] = Grant(form["sub"], params, self.session)
            answer = {"code": code}
        answer = merged({**answer, "state": params["state"], "iss": self.issuer}, self.answer)
        return Reply(302, headers={"Location": f"{params['redirect_uri']}?{urlencode(answer)}"})

    def _token(self, form: Params, headers: Mapping[str, str]) -> Reply:
        self.forms.append(form)
        _require(headers.get("Content-Type") == "application/x-www-form-urlencoded", "invalid_request", "content type")
        _require(self._is_client(form, headers), self.refuses_clients, "not the client", 401)
        with self.lock:
            grant = self._redeem_code(form) if form.get("grant_type") == "authorization_code" else self._refresh(form)
            answer = self._issue(grant, with_id_token=True)
        return _json(merged(answer, self.token_answer))

    def _is_client(self, form: Params, headers: Mapping[str, str]) -> bool:
        methods = self.auth_methods or ("client_secret_basic",)
        authorization = headers.get("Authorization", "")
        if authorization.startswith("Basic ") and "client_secret_basic" in methods and "client_secret" not in form:
            credentials = base64.b64decode(authorization[6:]).decode().split(":")
            return [unquote_plus(text) for text in credentials] == [self.client_id, self.client_secret]
        if authorization or form.get("client_id") != self.client_id:
            return False
        if "client_assertion" in form:
            return "private_key_jwt" in methods and "client_secret" not in form and self._is_assertion(form)
        if "client_secret" in form:
            return "client_secret_post" in methods and form["client_secret"] == self.client_secret
        return "none" in methods

    def _is_assertion(self, form: Params) -> bool:
        _require(form["client_assertion_type"].endswith(":client-assertion-type:jwt-bearer"), "invalid_client", "type")
        header, claims = read_assertion(form["client_assertion"], self.client_jwk)
        is_fresh = claims["iat"] <= time.time() < claims["exp"] <= time.time() + 300
        is_new = claims["jti"] not in [earlier["jti"] for _, earlier in self.assertions]
        self.assertions.append((header, claims))
        parties = (claims["iss"], claims["sub"], claims["aud"])
        return is_fresh and is_new and parties == (self.client_id, self.client_id, f"{self.issuer}/token")

    def _redeem_code(self, form: Params) -> Grant:
        grant = self.codes.get(form.get("code", ""))
        if grant is None or grant.spent:
            raise Refused("invalid_grant", "unknown or spent code")
        grant.spent = True
        _require(form.get("redirect_uri") == grant.params["redirect_uri"], "invalid_grant", "another redirect_uri")
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        _require(to_base64(challenge) == grant.params["code_challenge"], "invalid_grant", "the verifier does not fit")
        return grant

    def _refresh(self, form: Params) -> Grant:
        _require(not self.refuses_refresh, self.refuses_refresh, "told to")
        grant = self.refresh_tokens.get(form.get("refresh_token", ""))
        if grant is None:
            raise Refused("invalid_grant", "unknown or rotated refresh token")
        if self.rotates:
            del self.refresh_tokens[form["refresh_token"]]
        return grant

    def _issue(self, grant: Grant, *, with_id_token: bool) -> dict[str, Any]:
        access_token = secrets.token_urlsafe(24)
        self.access_tokens[access_token] = grant
        answer: dict[str, Any] = {"access_token": access_token, "token_type": "Bearer", "expires_in": self.expires_in}
        is_first = grant not in self.refresh_tokens.values()
        if self.has_refresh_tokens and (is_first or self.rotates):
            answer["refresh_token"] = secrets.token_urlsafe(24)
            self.refresh_tokens[answer["refresh_token"]] = grant
        if with_id_token:
            answer["id_token"] = sign(
                self._claims(grant, access_token),
                self.algorithm,
                self.signing_key,
                header=self.header,
                forgery=self.forgery,
            )
        return answer

    def _claims(self, grant: Grant, access_token: str) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": grant.sub,
            "aud": self.client_id,
            "exp": now + 300,
            "iat": now,
            "auth_time": now,
            "nonce": grant.params["nonce"],
            "at_hash": token_hash(access_token, self.algorithm),
            "sid": grant.session,
        }
        about_the_user = {} if self.has_sub_only_id_tokens else self.users[grant.sub]
        return merged({**about_the_user, **claims}, self.claims)

    def _userinfo(self, headers: Mapping[str, str]) -> Reply:
        grant = self.access_tokens.get(headers.get("Authorization", "").removeprefix("Bearer "))
        if grant is None:
            raise Refused("invalid_token", "unknown access token", 401)
        if self.userinfo_reply is not None:
            return self.userinfo_reply
        claims = {"sub": grant.sub, **self.users[grant.sub]}
        if not self.signs_userinfo:
            return _json(merged(claims, self.userinfo))
        signed = merged({**claims, "iss": self.issuer, "aud": self.client_id}, self.userinfo)
        token = sign(signed, self.algorithm, self.signing_key, header={}, forgery=self.userinfo_forgery)
        return Reply(body=token.encode(), headers={"Content-Type": "application/jwt; charset=utf-8"})

    def _revoke(self, form: Params, headers: Mapping[str, str]) -> Reply:
        self.forms.append(form)
        _require(self._is_client(form, headers), self.refuses_clients, "not the client", 401)
        _require(not self.refuses_revocation, self.refuses_revocation, "told to")
        with self.lock:
            # RFC 7009 2.2: a token that nobody knows is gone already.
            self.refresh_tokens.pop(form["token"], None)
        return Reply()


def _require(condition: bool, code: str, reason: str, status: int = 400) -> None:
    if not condition:
        raise Refused(code, reason, status)


def _json(document: Mapping[str, Any], status: int = 200) -> Reply:
    return Reply(status, json.dumps(document).encode(), {"Content-Type": "application/json"})
