"""Refusals are counted by their wire codes, and none of them asks the database for it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.test import Client

from mcp_oidc.core.tallies import flush, hourly
from mcp_oidc.errors import InvalidToken, MissingToken
from mcp_oidc.resource.bearer import find_endpoint, refuse
from tests.factories import ISSUER
from tests.server.authorizations import post_form

pytestmark = pytest.mark.django_db(transaction=True)


def counted(kind: str) -> dict[str, int]:
    flush()
    return {tally.outcome: tally.count for tally in hourly(datetime(2000, 1, 1, tzinfo=UTC)) if tally.kind == kind}


def test_refusals_at_the_token_endpoint_are_counted() -> None:
    post_form("/token", {"grant_type": "authorization_code", "client_id": "nobody", "code": "c"})
    post_form("/token", {"grant_type": "authorization_code", "client_id": "nobody", "code": "c"})
    post_form("/token", {})
    assert counted("token.refused") == {"invalid_client": 2, "invalid_request": 1}


def test_refused_registrations_are_counted(client: Client) -> None:
    client.post("/register", "{", content_type="application/json")
    assert counted("registration.refused") == {"invalid_client_metadata": 1}


def test_refused_calls_are_counted_and_those_without_a_token_apart() -> None:
    endpoint = find_endpoint("/mcp", issuer=ISSUER)
    for error in (MissingToken(), InvalidToken(), InvalidToken()):
        refuse(error, endpoint)
    assert counted("resource.refused") == {"missing_token": 1, "invalid_token": 2}
