"""The principal: what every entry point hands over."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mcp_oidc.core.verification import verify_access_token
from mcp_oidc.models import AbstractClient, Identity
from tests.factories import ISSUER, RESOURCE
from tests.resource.forgery import claims_of

pytestmark = pytest.mark.django_db


def test_it_tells_the_user_the_client_and_what_the_token_may_do(
    access_token: str, identity: Identity, public_client: AbstractClient
) -> None:
    Identity.objects.filter(pk=identity.pk).update(custom_data={"team": "blue"})
    principal = verify_access_token(access_token, issuer=ISSUER, resource=RESOURCE)
    claims = claims_of(access_token)
    assert (principal.user, principal.user_id) == (identity.user, identity.user.pk)
    assert (principal.client, principal.client_id) == (public_client, claims["client_id"])
    assert (principal.identity, principal.custom_data) == (identity, {"team": "blue"})
    assert (principal.resource, principal.scopes) == (RESOURCE, ("openid", "mcp"))
    assert (principal.subject, principal.expires_at) == (claims["sub"], claims["exp"])
    assert principal.claims["iss"] == ISSUER


def test_rows_are_read_when_they_are_first_asked_for_and_once(access_token: str) -> None:
    principal = verify_access_token(access_token, issuer=ISSUER, resource=RESOURCE)
    with CaptureQueriesContext(connection) as context:
        for _ in range(2):
            assert principal.user
            assert principal.client
            assert principal.identity
    assert len(context) == 3
