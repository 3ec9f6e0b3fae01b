"""Who is logged in, as far as the authorization endpoint may rely on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest
from django.utils import timezone

from mcp_oidc.conf import app_settings
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.identities import local_identity
from mcp_oidc.core.sessions import DjangoSession, end_session, open_session, use_session
from mcp_oidc.core.upstream_tokens import has_usable_tokens
from mcp_oidc.upstream.provider import Provider, get_provider

if TYPE_CHECKING:
    from mcp_oidc.models import Identity

_KEY = "mcp_oidc_login_session"
_LOCAL_KEY = "mcp_oidc_logged_in_at"


@dataclass(frozen=True)
class Login:
    """A user who is there, and how they logged in.

    With an UPSTREAM, `session` is the key of the login session, and `idp_session` stands for the provider's own, if it
    told of one.
    """

    user: AbstractBaseUser
    identity: Identity
    authenticated_at: datetime
    idp_session: str = ""
    session: int | None = None


def current_login(request: HttpRequest) -> Login | None:
    """The login of this browser that a client may be authorized on, or None.

    With an UPSTREAM, a login whose tokens can be neither used nor refreshed any more is over: tools would refuse them,
    and the client that comes here for new ones would come again for ever.
    """
    login = remembered_login(request)
    if login is None or app_settings.UPSTREAM is None or has_usable_tokens(login.identity.pk):
        return login
    return None


def remembered_login(request: HttpRequest) -> Login | None:
    """Who logged in with this browser, or None.

    With an UPSTREAM, only a login at that very provider counts, and as long as nobody has ended it: a password of the
    admin proves nothing to it.
    """
    user = request.user
    if not user.is_authenticated or not user.is_active:
        return None
    provider = get_provider()
    if provider is not None:
        return _upstream_login(request, user, provider)
    identity = local_identity(user)
    return Login(identity.user, identity, _local_moment(request, user))


def remember_login(request: HttpRequest, identity: Identity, *, authenticated_at: datetime, idp_session: str) -> None:
    """Note in the session which login at the provider it stands for. `idp_session` is the provider's `sid`."""
    row = open_session(
        identity,
        DjangoSession.of(request.session),
        authenticated_at=authenticated_at,
        sid=idp_session,
        replaces=request.session.get(_KEY),
    )
    request.session[_KEY] = row.pk


def note_logout(sender: object, request: HttpRequest | None, **kwargs: object) -> None:
    """End the login session of a browser that logs out, by whatever page of the project."""
    key = request.session.get(_KEY) if request is not None and hasattr(request, "session") else None
    if request is not None and key is not None:
        end_session(key, "user_logout", caller=Caller.of(request))


def note_local_login(sender: object, request: HttpRequest | None, **kwargs: object) -> None:
    """Note in the session when its login was. `last_login` is the user's, and moves with every other device."""
    if request is not None and hasattr(request, "session"):
        request.session[_LOCAL_KEY] = timezone.now().isoformat()


def _local_moment(request: HttpRequest, user: AbstractBaseUser) -> datetime:
    noted = request.session.get(_LOCAL_KEY)
    # A session that began before this app was installed has no note.
    return datetime.fromisoformat(noted) if noted else user.last_login or timezone.now()


def _upstream_login(request: HttpRequest, user: AbstractBaseUser, provider: Provider) -> Login | None:
    key = request.session.get(_KEY)
    # Django's own login may have put somebody else into the session since.
    session = use_session(key, user, DjangoSession.of(request.session)) if key is not None else None
    if session is None:
        return None
    identity = session.identity
    if identity.provider != provider.upstream.name or not provider.is_issuer(identity.issuer):
        return None
    return Login(identity.user, identity, session.authenticated_at, session.idp_session, session.pk)
