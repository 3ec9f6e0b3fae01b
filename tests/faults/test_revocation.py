"""What one process revokes, the other refuses at once: FAULTS.md 19."""

from __future__ import annotations

import pytest

from tests.faults.chance import chance, repeats
from tests.faults.clients import McpClient
from tests.faults.servers import Server
from tests.faults.site import Site

REVOCATIONS = 200
WAYS = ("refresh_token", "access_token", "operator")


@pytest.mark.long
@pytest.mark.requirement("revocation-everywhere")
def test_token_is_refused_everywhere_once_it_was_revoked_somewhere(site: Site, client: McpClient) -> None:
    for number in range(repeats("REVOCATIONS", REVOCATIONS, kind=site.kind)):
        here, there = chance.sample(site.servers, 2)
        client.be_approved()
        assert client.log_in(here)
        # Whatever a process may remember of a token, both do by now.
        assert [client.call(server) for server in (here, there)] == [200, 200]
        revoke(client, here, WAYS[number % len(WAYS)])
        assert [client.call(server) for server in (there, here)] == [401, 401]
        answer = client.send_refresh(there).read()
        assert answer is not None
        assert answer.error == "invalid_grant"


def revoke(client: McpClient, server: Server, way: str) -> None:
    """End a connection: the client gives one of its tokens back, or an operator does it."""
    if way == "operator":
        assert client.site.backstage.ask("revoke", client.connection)
        client.is_revoked()
    else:
        client.revoke(server, of=way)
