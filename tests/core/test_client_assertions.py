"""Assertions that arrive twice at the same moment."""

from __future__ import annotations

import pytest

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.client_assertions import authenticate_by_assertion
from mcp_oidc.core.clients import register
from mcp_oidc.errors import InvalidClient
from mcp_oidc.models import AbstractClient, UsedAssertion
from mcp_oidc.protocol.client_authentication import parse_client_credentials
from mcp_oidc.protocol.jwks import generate_jwk
from tests.core.parallel import in_parallel
from tests.factories import ISSUER, make_metadata
from tests.server.documents import sign


@pytest.mark.requirement("assertion-once")
@pytest.mark.django_db(transaction=True)
def test_of_parallel_uses_of_an_assertion_one_is_taken() -> None:
    key = generate_jwk("ES256")
    metadata = make_metadata(token_endpoint_auth_method="private_key_jwt", jwks={"keys": [key.public]})
    client = register(metadata, caller=Caller()).client
    credentials = parse_client_credentials(None, sign(client.client_id, key))

    def use() -> AbstractClient:
        return authenticate_by_assertion(credentials, audiences=(ISSUER,), find_key=lambda owner, header: key.key)

    results = in_parallel(use, expected=InvalidClient)
    assert [result for result in results if result == client] == [client]
    assert UsedAssertion.objects.count() == 1
