"""The pages of signing keys: what each of them is for, when it signs, and when it may go."""

from __future__ import annotations

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.utils.formats import date_format
from django.utils.timezone import localtime

from mcp_oidc.core.kept_keys import kept_keys
from mcp_oidc.core.key_rotation import publish_key, save_key
from mcp_oidc.models import SigningKey
from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk
from tests.admin.pages import list_url, page_url, text_of
from tests.core.passing import let_pass

HOUR = 3600


@pytest.fixture
def one_of_each(signing_key: SigningJwk) -> list[SigningKey]:
    """An expired key, one that verifies only, one that signs, and one that waits."""
    save_key(generate_jwk("ES256"))
    let_pass(2 * HOUR, *SigningKey.objects.all())
    save_key(generate_jwk("ES256"))
    publish_key(generate_jwk("EdDSA"))
    return list(SigningKey.objects.order_by("pk"))


@pytest.mark.requirement("key-published-first")
def test_state_of_each_key_is_told(admin_browser: Browser, one_of_each: list[SigningKey]) -> None:
    names = ("expired", "verifying only", "signing", "published, signs later")
    for row, name in zip(one_of_each, names, strict=True):
        page = text_of(admin_browser.get(page_url(row)))
        assert f'<div class="readonly">{name}</div>' in page
        assert row.kid in page
    listed = text_of(admin_browser.get(list_url(SigningKey)))
    states = [listed.index(f'<td class="field-state">{name}</td>') for name in names]
    # The newest first.
    assert states == sorted(states, reverse=True)


def test_key_tells_until_when_it_signs_and_when_it_may_go(
    admin_browser: Browser, one_of_each: list[SigningKey]
) -> None:
    expired, _, signing, waiting = (text_of(admin_browser.get(page_url(row))) for row in one_of_each)
    # The last one has no end yet.
    assert [page.count('<div class="readonly">-</div>') for page in (expired, signing, waiting)] == [0, 0, 2]
    ends = [each.deletable_at for each in kept_keys()]
    assert date_format(localtime(ends[0]), "DATETIME_FORMAT") in expired


def test_keys_that_are_not_used_are_said_to_be_so(
    admin_browser: Browser, signing_key: SigningJwk, settings: LazySettings
) -> None:
    for jwks in (generate_jwk("ES256").private, "/no/such/file"):
        settings.MCP_OIDC = {**settings.MCP_OIDC, "JWKS": jwks}
        assert "not in use: JWKS is set" in text_of(admin_browser.get(list_url(SigningKey)))


def test_list_takes_as_many_queries_for_many_keys_as_for_one(admin_browser: Browser, signing_key: SigningJwk) -> None:
    with CaptureQueriesContext(connection) as few:
        admin_browser.get(list_url(SigningKey))
    for _ in range(5):
        save_key(generate_jwk("ES256"))
    with CaptureQueriesContext(connection) as many:
        admin_browser.get(list_url(SigningKey))
    assert len(many) == len(few)
