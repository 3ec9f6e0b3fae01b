"""How a client names and proves itself at `/token` and its siblings (RFC 6749 2.3, RFC 7521 4.2)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from mcp_oidc.errors import InvalidClient, InvalidRequest
from mcp_oidc.protocol.client_assertions import ASSERTION_TYPE, claimed_client_id
from mcp_oidc.protocol.jwts import BadJwt

MAX_CREDENTIAL_LENGTH = 1000


@dataclass(frozen=True)
class ClientCredentials:
    """What was presented: an id, and a secret or an assertion unless the client is public. `method` as in RFC 7591."""

    client_id: str
    secret: str | None = field(repr=False)
    method: str
    assertion: str | None = field(default=None, repr=False)


def parse_client_credentials(authorization: str | None, params: Mapping[str, str]) -> ClientCredentials:
    """Read them from the header or the body.

    Raises `InvalidRequest` for two methods at once (RFC 6749 2.3), `InvalidClient` for none or a malformed one.
    """
    is_basic = authorization is not None and authorization.split(" ", 1)[0].lower() == "basic"
    has_assertion = "client_assertion" in params or "client_assertion_type" in params
    if is_basic + has_assertion + ("client_secret" in params) > 1:
        raise InvalidRequest("The client authenticated in two ways at once.")
    if authorization is not None and is_basic:
        return _of_same_client(_parse_basic(authorization), params)
    if has_assertion:
        return _of_same_client(_parse_assertion(params), params)
    client_id = params.get("client_id")
    if client_id is None:
        raise InvalidClient("The request names no client.")
    if len(client_id) > MAX_CREDENTIAL_LENGTH:
        raise InvalidClient("The client is unknown.")
    secret = params.get("client_secret")
    return ClientCredentials(client_id, secret, "none" if secret is None else "client_secret_post")


def _of_same_client(credentials: ClientCredentials, params: Mapping[str, str]) -> ClientCredentials:
    # Clients repeat the id in the body, which is harmless as long as it is the same.
    if params.get("client_id", credentials.client_id) != credentials.client_id:
        raise InvalidRequest("The client gave two different ids.")
    return credentials


def _parse_assertion(params: Mapping[str, str]) -> ClientCredentials:
    assertion = params.get("client_assertion")
    if assertion is None or params.get("client_assertion_type") != ASSERTION_TYPE:
        raise InvalidClient("A client assertion must be a JWT, of the type jwt-bearer.")
    try:
        return ClientCredentials(claimed_client_id(assertion), None, "private_key_jwt", assertion)
    except BadJwt:
        raise InvalidClient("The client assertion is malformed.") from None


def _parse_basic(authorization: str) -> ClientCredentials:
    try:
        text = base64.b64decode(authorization[6:].strip().encode("ascii"), validate=True).decode("utf-8")
        client_id, secret = (unquote_plus(part, errors="strict") for part in text.split(":", 1))
    except (ValueError, binascii.Error):
        raise InvalidClient("The Authorization header is malformed.") from None
    if "\0" in client_id + secret or not client_id or len(text) > MAX_CREDENTIAL_LENGTH:
        raise InvalidClient("The Authorization header is malformed.")
    return ClientCredentials(client_id, secret, "client_secret_basic")
