"""What can go wrong, one class for each code that goes over the wire. Plain Python.

`description` goes to the client and `log` to the log; neither may hold a token, a code, a secret or a verifier.
"""

from __future__ import annotations

from typing import Any


class OAuthError(Exception):
    """An error in the protocol's own terms (RFC 6749 5.2). Raised by core, rendered at the edge."""

    code = "invalid_request"
    status = 400

    def __init__(self, description: str = "", *, log: str = "", retry_after: int | None = None) -> None:
        super().__init__(log or description or self.code)
        self.description = description
        self.log = log
        self.retry_after = retry_after

    def as_dict(self) -> dict[str, Any]:
        """The JSON body of the answer."""
        body = {"error": self.code}
        if self.description:
            body["error_description"] = self.description
        return body


class InvalidRequest(OAuthError):
    """RFC 6749 5.2: a parameter is missing, doubled, malformed or not allowed here."""


class HeaderMismatch(OAuthError):
    """MCP 2026-07-28: Mcp-Method or Mcp-Name is not what the body says. Answered in JSON-RPC, as an MCP server does."""

    rpc_code = -32020

    def __init__(self, description: str = "", *, message_id: str | int | None = None) -> None:
        super().__init__(description)
        self.message_id = message_id

    def as_dict(self) -> dict[str, Any]:
        """A JSON-RPC error; of a message without an id, JSON-RPC wants it to be null."""
        error = {"code": self.rpc_code, "message": self.description}
        return {"jsonrpc": "2.0", "id": self.message_id, "error": error}


class InvalidClient(OAuthError):
    """RFC 6749 5.2: unknown client or failed authentication. MCP clients register again when they see it."""

    code = "invalid_client"
    status = 401


class InvalidGrant(OAuthError):
    """RFC 6749 5.2: the code or refresh token is no good. MCP clients log in again when they see it."""

    code = "invalid_grant"


class UnauthorizedClient(OAuthError):
    """RFC 6749 5.2: the client may not use this grant type."""

    code = "unauthorized_client"


class UnsupportedGrantType(OAuthError):
    """RFC 6749 5.2."""

    code = "unsupported_grant_type"


class UnsupportedResponseType(OAuthError):
    """RFC 6749 4.1.2.1."""

    code = "unsupported_response_type"


class InvalidScope(OAuthError):
    """RFC 6749 5.2: wider scopes than were granted."""

    code = "invalid_scope"


class InvalidTarget(OAuthError):
    """RFC 8707 2: the resource is not one of ours, or not the one that was granted."""

    code = "invalid_target"


class AccessDenied(OAuthError):
    """RFC 6749 4.1.2.1: the user, the project or the identity provider said no."""

    code = "access_denied"
    status = 403


class LoginRequired(OAuthError):
    """OpenID Connect Core 3.1.2.6: `prompt=none`, but nobody is logged in.

    At the token endpoint: the identity provider's token can be had by a new login only (RFC 8693 2.2.2).
    """

    code = "login_required"


class ConsentRequired(OAuthError):
    """OpenID Connect Core 3.1.2.6: `prompt=none`, but the user has not approved this."""

    code = "consent_required"


class NotFound(OAuthError):
    """Nothing is published at this path. Not a code of any RFC: clients look at the status and try the next path."""

    code = "not_found"
    status = 404


class ServerError(OAuthError):
    """RFC 6749 4.1.2.1."""

    code = "server_error"
    status = 500


class TemporarilyUnavailable(OAuthError):
    """RFC 6749 4.1.2.1: the identity provider or the database does not answer; the same request is worth a retry."""

    code = "temporarily_unavailable"
    status = 503

    def __init__(self, description: str = "", *, log: str = "", retry_after: int | None = 5) -> None:
        super().__init__(description, log=log, retry_after=retry_after)


class TooManyRequests(TemporarilyUnavailable):
    """RFC 6585 4: a limit is reached. OAuth has no code of its own for it; `retry_after` says when it is over."""

    status = 429


class InvalidRedirectUri(OAuthError):
    """RFC 7591 3.2.2."""

    code = "invalid_redirect_uri"


class InvalidClientMetadata(OAuthError):
    """RFC 7591 3.2.2."""

    code = "invalid_client_metadata"


class BearerError(OAuthError):
    """A refused call to a protected resource (RFC 6750 3.1)."""


class MissingToken(BearerError):
    """RFC 6750 3.1: no credentials at all, so the challenge names no error."""

    code = "invalid_token"
    status = 401


class InvalidToken(BearerError):
    """RFC 6750 3.1: expired, revoked, malformed, or for somebody else."""

    code = "invalid_token"
    status = 401


class InsufficientScope(BearerError):
    """RFC 6750 3.1. `scopes` holds every scope that the operation needs, for one step-up."""

    code = "insufficient_scope"
    status = 403

    def __init__(self, description: str = "", *, scopes: tuple[str, ...], log: str = "") -> None:
        super().__init__(description, log=log)
        self.scopes = scopes


class UpstreamError(Exception):
    """The identity provider gave an answer that cannot be trusted: wrong signature, claims, shape. Not a retry."""


class UpstreamUnavailable(UpstreamError):
    """The identity provider gave no usable answer: time-out, refused connection, 5xx. Worth a retry."""


class UpstreamRefused(UpstreamError):
    """The identity provider said no in OAuth's terms; `code` is its error code.

    `status` is that of its HTTP answer; None where a browser brought the refusal.
    """

    def __init__(self, code: str, status: int | None = None) -> None:
        super().__init__(f"the identity provider answered {code}")
        self.code = code
        self.status = status

    @property
    def is_about_us(self) -> bool:
        """Whether it does not accept this server as its client, whoever the user is: its secret is wrong, say.

        RFC 6749 5.2: 401 is a failed authentication of the client. Auth0 says access_denied with it.
        """
        return self.status == 401 or self.code in ("invalid_client", "unauthorized_client")


class ForeignAccount(UpstreamError):
    """The login is genuine, but the account belongs to an organization that may not log in here."""


class UpstreamLoginRequired(Exception):
    """No usable IdP tokens for this user: only a new login brings them. At an MCP endpoint it becomes a 401."""
