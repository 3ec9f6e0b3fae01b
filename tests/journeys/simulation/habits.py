"""Fifty clients: what they are, how often their people use them, and what goes wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.factories import REDIRECT_URI
from tests.server.documents import make_document

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY

# In use all day and night, for as long as an access token lasts.
CHATTY = HOUR

WEB_APP = "https://web.example/callback"
CURSOR = "cursor://anysphere.cursor-mcp/oauth/callback"
# Clients with a metadata document: one that is public, and one with keys at an address of theirs.
PUBLIC_DOCUMENT = "https://app.example/client.json"
SIGNING_DOCUMENT = "https://signer.example/client.json"
SIGNER_KEYS = "https://signer.example/jwks.json"
DOCUMENTS: dict[str, dict[str, Any]] = {
    PUBLIC_DOCUMENT: make_document(PUBLIC_DOCUMENT, redirect_uris=[WEB_APP]),
    SIGNING_DOCUMENT: make_document(
        SIGNING_DOCUMENT,
        redirect_uris=[WEB_APP],
        token_endpoint_auth_method="private_key_jwt",
        jwks_uri=SIGNER_KEYS,
    ),
}


@dataclass(frozen=True)
class Habit:
    """How a client is used. `every` is in seconds, between two uses; `varies` is the share by which it is off."""

    kind: str
    every: float
    varies: float = 0.5
    redirect_uri: str = REDIRECT_URI
    auth_method: str = "none"
    # The URL of its metadata document. The others register.
    document: str = ""
    scope: str = "mcp notes:write"
    # What it asks for at every other refresh.
    narrow_scope: str = ""
    # Whether it waits for a 401, or refreshes before that, as its tokens' lifetime tells it.
    waits_for_401: bool = False
    # Whether two of its processes refresh the same token each time.
    has_two_processes: bool = False
    # The share of the token endpoint's answers that never reach it.
    loses: float = 0.03
    # The share of its calls for which the server needs the identity provider.
    profiles: float = 0.08


def _each(kind: str, *intervals: float, **traits: Any) -> tuple[Habit, ...]:
    return tuple(Habit(kind, every, **traits) for every in intervals)


FIFTY = (
    *_each("desktop", CHATTY, 4 * HOUR, 8 * HOUR, DAY, WEEK, WEEK),
    *_each("desktop that waits for a 401", 2 * HOUR, 8 * HOUR, DAY, WEEK, waits_for_401=True),
    *_each("cursor", CHATTY, 6 * HOUR, DAY, DAY, redirect_uri=CURSOR, waits_for_401=True),
    *_each("client_secret_basic", 4 * HOUR, DAY, WEEK, redirect_uri=WEB_APP, auth_method="client_secret_basic"),
    *_each("client_secret_post", 3 * HOUR, 12 * HOUR, DAY, redirect_uri=WEB_APP, auth_method="client_secret_post"),
    *_each("private_key_jwt", 4 * HOUR, 8 * HOUR, DAY, WEEK, redirect_uri=WEB_APP, auth_method="private_key_jwt"),
    *_each("document", 6 * HOUR, 12 * HOUR, DAY, WEEK, redirect_uri=WEB_APP, document=PUBLIC_DOCUMENT),
    *_each(
        "document with keys",
        *(3 * HOUR, DAY, WEEK),
        redirect_uri=WEB_APP,
        document=SIGNING_DOCUMENT,
        auth_method="private_key_jwt",
    ),
    *_each("openid", 5 * HOUR, DAY, WEEK, scope="openid profile email mcp"),
    *_each("narrow", 4 * HOUR, 8 * HOUR, DAY, WEEK, narrow_scope="mcp"),
    *_each("two processes", CHATTY, 4 * HOUR, 8 * HOUR, DAY, WEEK, has_two_processes=True),
    *_each("loses answers", 3 * HOUR, 4 * HOUR, DAY, DAY, loses=0.5),
    *_each("sleeps", 29 * DAY, 29 * DAY, 29 * DAY, varies=0.02),
)
# One of each of the more difficult kinds.
EIGHT = (
    *_each("desktop", CHATTY, waits_for_401=True),
    *_each("client_secret_basic", 8 * HOUR, redirect_uri=WEB_APP, auth_method="client_secret_basic"),
    *_each(
        "document with keys", 12 * HOUR, redirect_uri=WEB_APP, document=SIGNING_DOCUMENT, auth_method="private_key_jwt"
    ),
    *_each("narrow", 10 * HOUR, scope="openid mcp notes:write", narrow_scope="openid mcp"),
    *_each("two processes", 3 * HOUR, has_two_processes=True),
    *_each("loses answers", 3 * HOUR, 6 * HOUR, loses=0.5),
    *_each("sleeps", 29 * DAY, varies=0.02),
)
