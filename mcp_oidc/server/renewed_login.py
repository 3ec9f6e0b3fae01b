"""Logging in again: what `prompt` and `max_age` ask of a login (OpenID Connect Core 3.1.2.1), and that it took place.

The request is taken up again, after the login, by a URL that no longer asks for what the login fulfils, or it would ask
for ever. Instead the URL holds the moment that the login must not be older than. A person can take that out by hand, as
they could take out `prompt` before; the truth is in `auth_time`, for clients that have to know.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlencode

from django.utils import timezone

from mcp_oidc.conf import app_settings
from mcp_oidc.errors import LoginRequired
from mcp_oidc.protocol.authorization_requests import AuthorizationRequest
from mcp_oidc.upstream.session import Login
from mcp_oidc.upstream.signed_claims import LEEWAY

FORCING = frozenset({"login", "select_account"})
_NOT_BEFORE = "login_not_before"


def has_to_log_in_again(login: Login, asked: AuthorizationRequest, params: Mapping[str, str]) -> bool:
    """Whether `asked` wants a newer login. Raises `LoginRequired` if it had sent for one that did not take place."""
    if asked.prompt & FORCING:
        return True
    if asked.max_age is not None and timezone.now() - login.authenticated_at > timedelta(seconds=asked.max_age):
        return True
    # The clock of an identity provider is not ours.
    leeway = LEEWAY if app_settings.UPSTREAM is not None else 0
    if login.authenticated_at.timestamp() + leeway < _not_before(params):
        raise LoginRequired("The user did not log in again.")
    return False


def url_after_login(path: str, params: Mapping[str, str], asked: AuthorizationRequest) -> str:
    """Where to take the request up again."""
    fulfilled = {"prompt": " ".join(sorted(asked.prompt - FORCING)), "max_age": "", _NOT_BEFORE: ""}
    if asked.prompt & FORCING:
        fulfilled[_NOT_BEFORE] = str(int(time.time()))
    elif asked.max_age is not None:
        fulfilled[_NOT_BEFORE] = str(max(0, int(time.time()) - asked.max_age))
    elif _not_before(params):
        fulfilled[_NOT_BEFORE] = params[_NOT_BEFORE]
    rest = {name: value for name, value in {**params, **fulfilled}.items() if value}
    return f"{path}?{urlencode(rest)}"


def _not_before(params: Mapping[str, str]) -> int:
    moment = params.get(_NOT_BEFORE, "")
    return int(moment) if moment.isascii() and moment.isdigit() and len(moment) < 12 else 0
