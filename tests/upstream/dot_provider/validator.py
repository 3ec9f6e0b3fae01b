"""What differs from one client of the provider to the next."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from oauth2_provider.oauth2_validators import OAuth2Validator

from tests.upstream.provider_configuration import USERS, RelyingParty


class Validator(OAuth2Validator):
    """The original, which has one answer for all clients, and takes a secret in whatever way it comes."""

    def authenticate_client(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        way = "client_secret_basic" if request.headers.get("HTTP_AUTHORIZATION") else "client_secret_post"
        known: bool = super().authenticate_client(request, *args, **kwargs)
        return known and _party(request).auth_method == way

    def rotate_refresh_token(self, request: Any) -> bool:
        return _party(request).rotates

    def get_additional_claims(self, request: Any) -> dict[str, Any]:
        return USERS[request.user.get_username()] if _party(request).has_full_id_tokens else {}

    def get_userinfo_claims(self, request: Any) -> dict[str, Any]:
        return {**super().get_userinfo_claims(request), **USERS[request.user.get_username()]}


def _party(request: Any) -> RelyingParty:
    party: RelyingParty | None = settings.CONFIGURATION.relying_party(request.client.client_id)
    assert party is not None
    return party
