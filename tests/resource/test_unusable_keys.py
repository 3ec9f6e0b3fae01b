"""Protected endpoints of a server whose keys cannot be used: they fail closed, and call no token bad."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.conf import LazySettings

from mcp_oidc.core.keys import forget_keys
from mcp_oidc.errors import TemporarilyUnavailable
from mcp_oidc.protocol.jwks import generate_jwk
from mcp_oidc.resource.mcp_sdk import TokenVerifier
from tests.resource.entry_points import ENTRY_POINTS, Call, EntryPoint
from tests.resource.worlds import World

# Tokens are verified in threads of their own too, which see only what was committed.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.resource.urls")]

every_entry_point = pytest.mark.parametrize("entry_point", ENTRY_POINTS.values(), ids=ENTRY_POINTS.keys())
BROKEN = {"keys": [generate_jwk("ES256").public]}


@pytest.mark.requirement("unusable-keys")
@pytest.mark.requirement("resource-fails-closed")
@every_entry_point
def test_keys_that_cannot_be_used_are_an_outage_with_the_way_out_in_the_log(
    entry_point: EntryPoint, world: World, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "JWKS": BROKEN}
    answer = entry_point(Call(authorization=f"Bearer {world.access_token}"))
    assert answer.status == 503
    assert answer.json["error"] == "temporarily_unavailable"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.challenge is None
    assert "not a private key" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.requirement("unusable-keys")
@every_entry_point
def test_lost_secret_is_no_matter_to_who_only_verifies(
    entry_point: EntryPoint, world: World, settings: LazySettings
) -> None:
    settings.SECRET_KEY = "another secret"
    forget_keys()
    assert entry_point(Call(authorization=f"Bearer {world.access_token}")).status == 200


@pytest.mark.requirement("unusable-keys")
def test_verifier_for_the_mcp_sdk_raises_and_does_not_say_no(world: World, settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "JWKS": BROKEN}
    with pytest.raises(TemporarilyUnavailable):
        async_to_sync(TokenVerifier("/mcp").verify_token)(world.access_token)
