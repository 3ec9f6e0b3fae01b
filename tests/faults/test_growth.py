"""A connection that is refreshed for years stays one row, and its tokens stay tokens."""

from __future__ import annotations

import pytest

from mcp_oidc.protocol.opaque_tokens import GENERATION_BYTES
from tests.faults.chance import repeats
from tests.faults.clients import McpClient
from tests.faults.site import Site

# FAULTS_REFRESHES=1000000 takes about an hour.
REFRESHES = 2000
HIGHEST = 2 ** (8 * GENERATION_BYTES) - 1


@pytest.mark.long
@pytest.mark.requirement("rows-do-not-grow")
def test_no_table_grows_however_often_a_connection_is_refreshed(site: Site, client: McpClient) -> None:
    refreshes = repeats("REFRESHES", REFRESHES, kind=site.kind)
    assert client.log_in(site.servers[0])
    before = site.backstage.ask("row_counts")
    last = site.backstage.ask(
        "refresh_often", client.registration["client_id"], client.tokens["refresh_token"], refreshes
    )
    assert site.backstage.ask("row_counts") == before
    client.tokens["refresh_token"] = last
    client.renew(site.servers[1])
    assert client.call(site.servers[0]) == 200
    (row,) = site.backstage.ask("connections_of", client.connection)
    assert row == {"generation": refreshes + 2, "revoked": ""}


@pytest.mark.requirement("rows-do-not-grow")
@pytest.mark.long
@pytest.mark.parametrize("reached", [10**6, 2**31, 2**32, HIGHEST])
def test_connection_goes_on_past_any_number_of_refreshes(site: Site, client: McpClient, reached: int) -> None:
    assert client.log_in(site.servers[0])
    client.tokens["refresh_token"] = site.backstage.ask("skip_to", client.connection, reached - 3)
    for number in range(3):
        client.renew(site.servers[number % 2])
        assert client.call(site.servers[0]) == 200
    (row,) = site.backstage.ask("connections_of", client.connection)
    assert row == {"generation": reached, "revoked": ""}
