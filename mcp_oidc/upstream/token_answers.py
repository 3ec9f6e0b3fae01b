"""Answers of the identity provider's token endpoint (RFC 6749 5): a token set, or a refusal in OAuth's terms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from mcp_oidc.core.upstream_tokens import IdpTokens
from mcp_oidc.errors import UpstreamError, UpstreamRefused
from mcp_oidc.upstream.http import Answer

_TOKEN = re.compile(r"[\x21-\x7e]+")
_ERROR_CODE = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_TEN_YEARS = 10 * 365 * 24 * 3600


def parse_answer(answer: Answer, *, asked_scopes: tuple[str, ...]) -> IdpTokens:
    """The tokens in `answer`, with `asked_scopes` where it names none.

    Raises `UpstreamRefused` for an OAuth error and `UpstreamError` for what is no token set.
    """
    document = answer.json()
    if "error" in document or not answer.is_success:
        raise UpstreamRefused(printable_code(document.get("error")), answer.status)
    # RFC 6749 7.1: a client must not use a token of a type that it does not know.
    if str(document.get("token_type", "bearer")).lower() != "bearer":
        raise UpstreamError("the identity provider issued an access token that is not a bearer token")
    access_token = _token(document, "access_token")
    if access_token is None:
        raise UpstreamError("the answer of the token endpoint holds no access token")
    return IdpTokens(
        access_token=access_token,
        id_token=_token(document, "id_token"),
        refresh_token=_token(document, "refresh_token"),
        expires_at=_expiry(document.get("expires_in")),
        scopes=_scopes(document.get("scope"), asked_scopes),
    )


def printable_code(value: object) -> str:
    """An error code of the provider, fit for a log; whatever else it may have sent is not repeated."""
    return value if isinstance(value, str) and _ERROR_CODE.fullmatch(value) else "an unreadable error"


def _token(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    if value is None or value == "":
        return None
    # RFC 6749 A.12: printable characters, so that it goes into a header as it is.
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise UpstreamError(f"the {name} of the identity provider is malformed")
    return value


def _expiry(value: object) -> datetime | None:
    # Optional (RFC 6749 5.1), and in the field also a string.
    try:
        seconds = int(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0
    except (ValueError, OverflowError):
        return None
    return timezone.now() + timedelta(seconds=min(seconds, _TEN_YEARS)) if seconds > 0 else None


def _scopes(value: object, asked: tuple[str, ...]) -> tuple[str, ...]:
    # RFC 6749 5.1: left out where it is what was asked for.
    return tuple(value.split()) if isinstance(value, str) else asked
