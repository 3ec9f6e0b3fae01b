"""Documents at URLs that clients name: fetched by DOT's hardened fetcher, a few at a time, each within its time.

The fetcher (OAUTH2_PROVIDER["CIMD_METADATA_FETCHER"]) connects to public addresses only, follows no redirect and reads
no more than CIMD_MAX_DOCUMENT_SIZE. Like DOT, we never fetch while a transaction is open.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import lru_cache
from threading import BoundedSemaphore
from typing import Any

from django.utils.translation import gettext_noop
from oauth2_provider.settings import oauth2_settings

from mcp_oidc.errors import TemporarilyUnavailable, UpstreamUnavailable
from mcp_oidc.protocol.forms import parse_json_object
from mcp_oidc.upstream.deadlines import call_within


@dataclass(frozen=True)
class FetchedDocument:
    """A JSON object, and the seconds for which it need not be fetched again."""

    members: dict[str, Any]
    max_age: int


def fetch_document(url: str) -> FetchedDocument:
    """The document at `url`.

    Raises `UpstreamUnavailable` where there is none in time, and `TemporarilyUnavailable` while as many as
    CIMD_MAX_CONCURRENT_FETCHES are being fetched by this process.
    """
    slots = _slots(oauth2_settings.CIMD_MAX_CONCURRENT_FETCHES or sys.maxsize)
    if not slots.acquire(blocking=False):
        message = gettext_noop("The server is busy reading other documents.")
        raise TemporarilyUnavailable(message, log="all fetch slots are taken")

    def fetch() -> FetchedDocument:
        try:
            return _fetch(url)
        finally:
            # Not when the caller gives up: a host that answers for ever would have another thread each time.
            slots.release()

    try:
        return call_within(oauth2_settings.CIMD_FETCH_TIMEOUT_SECONDS, fetch, name="mcp_oidc-document")
    except TimeoutError:
        raise UpstreamUnavailable(f"{url} took too long") from None


def _fetch(url: str) -> FetchedDocument:
    try:
        members, max_age = oauth2_settings.CIMD_METADATA_FETCHER().fetch(url)
        # Strictly, once more: what is too deep, or no text that a database could hold, parses as well.
        return FetchedDocument(parse_json_object(json.dumps(members).encode()), int(max_age))
    except Exception as error:  # noqa: BLE001  # whatever another's server or a project's fetcher does, it is no document
        raise UpstreamUnavailable(f"{url}: {error or type(error).__name__}") from None


@lru_cache(maxsize=1)
def _slots(size: int) -> BoundedSemaphore:
    return BoundedSemaphore(size)
