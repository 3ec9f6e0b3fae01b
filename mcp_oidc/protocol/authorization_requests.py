"""An authorization request (RFC 6749 4.1.1, RFC 7636 4.3, RFC 8707 2.1, OpenID Connect Core 3.1.2.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mcp_oidc.errors import InvalidRequest, UnsupportedResponseType
from mcp_oidc.protocol import pkce
from mcp_oidc.protocol.scopes import parse_scope

MAX_STATE_LENGTH = 4096
MAX_NONCE_LENGTH = 1000
MAX_SCOPE_LENGTH = 2000
MAX_CLIENT_ID_LENGTH = 255
# What an answer, an error included, depends on: in none of these may be a doubt.
SENDER_PARAMS = frozenset({"client_id", "redirect_uri", "state"})
MAX_UI_LOCALES = 10
_PROMPTS = frozenset({"none", "login", "consent", "select_account"})
# RFC 5646 2.1, as much of it as names of languages in the field have.
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,4}")


@dataclass(frozen=True)
class AuthorizationRequest:
    """What a client asks of a user, in types. Whether it may is decided in core."""

    client_id: str
    redirect_uri: str
    # Whether the request named it, or left it to the only one that is registered.
    redirect_uri_sent: bool
    state: str | None
    scopes: tuple[str, ...]
    resource: str | None
    code_challenge: str
    nonce: str
    prompt: frozenset[str]
    max_age: int | None


@dataclass(frozen=True)
class Sender:
    """The part of a request that says who asks and where the answer goes. An error in it is never redirected."""

    client_id: str
    redirect_uri: str | None
    state: str | None


def parse_sender(params: Mapping[str, str]) -> Sender:
    """Read who asks. Raises `InvalidRequest`, to be shown to the person and not sent anywhere."""
    client_id = params.get("client_id", "")
    if not client_id:
        raise InvalidRequest("The parameter client_id is missing.")
    if len(client_id) > MAX_CLIENT_ID_LENGTH:
        raise InvalidRequest("The parameter client_id is too long.")
    state = params.get("state")
    if state is not None and len(state) > MAX_STATE_LENGTH:
        raise InvalidRequest("The parameter state is too long.")
    return Sender(client_id=client_id, redirect_uri=params.get("redirect_uri"), state=state)


def parse_request(params: Mapping[str, str], *, redirect_uri: str) -> AuthorizationRequest:
    """Read the rest, once the redirect URI is known to be the client's. Raises errors that go to the client."""
    sender = parse_sender(params)
    _require_code_flow(params)
    _require_pkce(params)
    _refuse_request_objects(params)
    return AuthorizationRequest(
        client_id=sender.client_id,
        redirect_uri=redirect_uri,
        redirect_uri_sent=sender.redirect_uri is not None,
        state=sender.state,
        scopes=parse_scope(_bounded(params, "scope", MAX_SCOPE_LENGTH)),
        resource=params.get("resource"),
        code_challenge=params["code_challenge"],
        nonce=_bounded(params, "nonce", MAX_NONCE_LENGTH),
        prompt=_parse_prompt(params.get("prompt", "")),
        max_age=_parse_max_age(params.get("max_age")),
    )


def parse_ui_locales(text: str) -> tuple[str, ...]:
    """The languages that the person reads, the best first. What is no language tag is left out: OpenID Connect Core
    3.1.2.1 lets nothing of it be an error.
    """
    tags = text.split()[:MAX_UI_LOCALES]
    return tuple(tag for tag in tags if _LANGUAGE_TAG.fullmatch(tag))


def _require_code_flow(params: Mapping[str, str]) -> None:
    response_type = params.get("response_type")
    if response_type is None:
        raise InvalidRequest("The parameter response_type is missing.")
    # OAuth 2.1 has no other.
    if response_type != "code":
        raise UnsupportedResponseType("Only the response type code is supported.")
    if params.get("response_mode", "query") != "query":
        raise InvalidRequest("Only the response mode query is supported.")


def _require_pkce(params: Mapping[str, str]) -> None:
    challenge = params.get("code_challenge")
    if challenge is None:
        raise InvalidRequest("PKCE is required: the parameter code_challenge is missing.")
    # RFC 7636 4.3: a missing method means plain, which OAuth 2.1 and MCP rule out.
    if params.get("code_challenge_method") != "S256":
        raise InvalidRequest("PKCE is required with code_challenge_method S256.")
    if not pkce.is_challenge(challenge):
        raise InvalidRequest("The parameter code_challenge is not an S256 challenge.")


def _refuse_request_objects(params: Mapping[str, str]) -> None:
    for name in ("request", "request_uri"):
        if name in params:
            raise InvalidRequest(f"The parameter {name} is not supported.")


def _bounded(params: Mapping[str, str], name: str, length: int) -> str:
    value = params.get(name, "")
    if len(value) > length:
        raise InvalidRequest(f"The parameter {name} is too long.")
    return value


def _parse_prompt(text: str) -> frozenset[str]:
    prompt = frozenset(text.split())
    # OpenID Connect Core 3.1.2.1: none stands alone. Values that we do not know ask for nothing we could do.
    if "none" in prompt and len(prompt) > 1:
        raise InvalidRequest("The prompt none must stand alone.")
    return prompt & _PROMPTS


def _parse_max_age(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidRequest("The parameter max_age must be a number of seconds.")
    return int(text)
