"""The site of these tests itself: it works while nothing is wrong, and comes back when something was."""

from __future__ import annotations

from tests.faults.clients import McpClient
from tests.faults.site import Site


def test_client_logs_in_at_one_server_and_goes_on_at_the_other(site: Site, client: McpClient) -> None:
    here, there = site.servers
    assert client.log_in(here)
    assert client.call(there) == 200
    client.renew(there)
    assert client.call(here) == 200
    client.revoke(here)
    assert client.call(there) == 401


def test_server_that_was_killed_starts_again(site: Site, client: McpClient) -> None:
    here = site.servers[0]
    here.kill()
    assert client.log_in(here)
    here.start()
    assert client.call(here) == 200
