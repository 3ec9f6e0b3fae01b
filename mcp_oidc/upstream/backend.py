"""The seam to mozilla-django-oidc: `mcp_oidc.upstream.backend.UpstreamBackend`, for AUTHENTICATION_BACKENDS."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.identities import sign_in
from mcp_oidc.core.upstream_tokens import keep_tokens
from mcp_oidc.upstream.provider import Provider

if TYPE_CHECKING:
    from mcp_oidc.models import Identity

_ATTRIBUTE = "_mcp_oidc_login"


@dataclass(frozen=True)
class LoginCode:
    """A code that came back from the provider, and what belongs to it. Django shows credentials to other backends and
    to signal receivers, so `repr` tells nothing.
    """

    provider: Provider = field(repr=False)
    code: str = field(repr=False)
    redirect_uri: str = field(repr=False)
    nonce: str = field(repr=False)
    code_verifier: str = field(repr=False)
    max_age: int | None = field(repr=False)


@dataclass(frozen=True)
class UpstreamLogin:
    """A login that was verified: who, when, and in which session of the provider's."""

    identity: Identity
    authenticated_at: datetime
    idp_session: str


class UpstreamBackend(OIDCAuthenticationBackend):  # type: ignore[misc]  # mozilla-django-oidc is untyped
    """Logs in whom the identity provider names, by issuer and `sub`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Django makes an instance at each permission check. The original reads settings that discovery replaces.
        self.UserModel = get_user_model()

    def authenticate(
        self, request: HttpRequest | None, *, login_code: LoginCode | None = None, **credentials: Any
    ) -> AbstractBaseUser | None:
        """The user of `login_code`, which our callback alone passes. Raises `UpstreamError` and `AccessDenied`."""
        # The original takes any request with a code and a state in its query, checks neither issuer nor audience, and
        # finds users by their e-mail address.
        if request is None or login_code is None:
            return None
        provider = login_code.provider
        tokens = provider.exchange_code(
            login_code.code, redirect_uri=login_code.redirect_uri, code_verifier=login_code.code_verifier
        )
        login = provider.identify(tokens, nonce=login_code.nonce, max_age=login_code.max_age)
        upstream = provider.upstream
        identity = sign_in(
            upstream.name,
            login.issuer,
            login.claims,
            caller=Caller.of(request),
            link_by_email=upstream.link_by_email,
            update_user=upstream.update_users,
        )
        keep_tokens(identity, tokens)
        user: AbstractBaseUser = identity.user
        vars(user)[_ATTRIBUTE] = UpstreamLogin(identity, login.authenticated_at, login.idp_session)
        return user

    async def aauthenticate(self, request: HttpRequest | None, **credentials: Any) -> AbstractBaseUser | None:
        """As `authenticate`."""
        # The inherited one is ModelBackend's own and would take a password.
        return await sync_to_async(self.authenticate)(request, **credentials)

    def get_user(self, user_id: Any) -> AbstractBaseUser | None:
        """The user of a session, None for one who is inactive."""
        # The original returns inactive users too.
        return ModelBackend.get_user(self, user_id)


def login_of(user: AbstractBaseUser) -> UpstreamLogin:
    """The login that `UpstreamBackend.authenticate` has just found this user by."""
    login: UpstreamLogin = vars(user)[_ATTRIBUTE]
    return login
