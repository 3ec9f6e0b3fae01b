"""Answers of the userinfo endpoint (OpenID Connect Core 5.3.2): a JSON object, or the same signed as a JWT."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mcp_oidc.upstream.http import Answer
from mcp_oidc.upstream.signed_claims import (
    KeyFinder,
    failed,
    read_signed,
    require_audience,
    require_current,
    require_issuer,
)

_DOCUMENT = "userinfo"


def read_userinfo(
    answer: Answer, find_key: KeyFinder, *, algorithms: Collection[str], issuer: str, client_id: str
) -> dict[str, Any]:
    """The claims of a successful answer. `algorithms` are those of the provider's metadata for signed ones.

    Raises `UpstreamError` that names the check that failed, and `UpstreamUnavailable` for what is no JSON.
    """
    if answer.content_type != "application/jwt":
        return answer.json()
    try:
        text = answer.body.decode("ascii").strip()
    except UnicodeDecodeError:
        raise failed(_DOCUMENT, "form", "not a JWT") from None
    claims, _ = read_signed(text, find_key, algorithms=algorithms, document=_DOCUMENT)
    # Core 5.3.2: a signed answer has to name both. An ID token or a logout token passes too, and does no harm: it is
    # of the same provider for the same client, and `sub` is compared.
    require_issuer(claims, issuer, document=_DOCUMENT)
    require_audience(claims, client_id, document=_DOCUMENT)
    require_current(claims, document=_DOCUMENT)
    return claims
