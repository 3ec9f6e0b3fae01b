"""The seam to DOT and oauthlib: `/authorize` is theirs, and puts a Connection where they would put a grant.

By the time oauthlib sees a request it has been parsed strictly and decided; it checks once more, and makes the answer.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from oauth2_provider.oauth2_backends import OAuthLibCore
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauthlib.oauth2 import OAuth2Error

from mcp_oidc.core.approvals import open_connection
from mcp_oidc.core.clients import find_client, find_redirect_uri
from mcp_oidc.errors import ServerError


class ConnectionValidator(OAuth2Validator):  # type: ignore[misc]  # DOT is untyped
    """DOT's validator with our clients, our redirect URIs and our codes."""

    def validate_client_id(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        request.client = find_client(client_id)
        return request.client is not None

    def validate_redirect_uri(self, client_id: str, redirect_uri: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        return find_redirect_uri(request.client, redirect_uri) is not None

    def validate_scopes(
        self, client_id: str, scopes: list[str], client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        # What is granted was decided by core; DOT would refuse a request for one scope that it does not know.
        return set(scopes) <= set(request.approval.scopes)

    def get_default_scopes(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> list[str]:
        # Asked for where nothing was granted, which is fine; DOT's own are not ours.
        return []

    def save_authorization_code(
        self, client_id: str, code: dict[str, str], request: Any, *args: Any, **kwargs: Any
    ) -> None:
        # In the place of oauthlib's random code, which is never seen by anybody.
        request.answer["code"] = open_connection(request.approval, caller=request.caller)


class AuthorizationCore(OAuthLibCore):  # type: ignore[misc]  # DOT is untyped
    """DOT's door to oauthlib, for a request that has been parsed and approved already."""

    def create_authorization_response(
        self, request: HttpRequest, scopes: list[str], credentials: dict[str, Any], allow: bool
    ) -> tuple[str, dict[str, str], str | None, int]:
        # DOT hands over the raw query, in which oauthlib finds parameters of its own, and adds an `iss` of its own. It
        # gets no state, which it would log.
        ask = credentials["approval"].request
        query = {
            "client_id": ask.client_id,
            "redirect_uri": ask.redirect_uri,
            "response_type": "code",
            "code_challenge": ask.code_challenge,
            "code_challenge_method": "S256",
        }
        try:
            headers, body, status = self.server.create_authorization_response(
                f"{request.path}?{urlencode(query)}", scopes=scopes, credentials=credentials
            )
        except OAuth2Error as error:
            raise ServerError(log=f"oauthlib refused what was approved: {error.error}") from None
        if "code" not in credentials["answer"]:
            raise ServerError(log="oauthlib refused what was approved")
        return headers["Location"], headers, body, status
