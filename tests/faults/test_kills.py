"""A server is killed at any moment of a token exchange, and nobody notices for long: FAULTS.md 1 and 2."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.chance import chance, repeats
from tests.faults.clients import McpClient, register
from tests.faults.exchanges import Log
from tests.faults.servers import Server
from tests.faults.site import Site

KILLS = 200
# As many requests are under way as two processes work off at once, so that most kills hit one of each kind.
CLIENTS = 6
REFRESHES = 4
# Seconds that a server serves between two kills, at most.
PAUSE = 0.1
SETTLING = 2
# What a server logs between a commit and its answer.
COMMITS = ("mcp_oidc.audit connection.issued", "mcp_oidc refreshed")


@pytest.mark.long
@pytest.mark.requirement("killed-server")
def test_clients_go_on_while_one_server_after_another_is_killed(site: Site, log: Log) -> None:
    kills = repeats("KILLS", KILLS, kind=site.kind)
    registration = register(site, log)
    clients = [McpClient(site, log, registration, user=f"user{n}") for n in range(CLIENTS)]
    over = threading.Event()
    with ThreadPoolExecutor(CLIENTS) as pool:
        working = [pool.submit(live, client, over) for client in clients]
        try:
            for server in site.servers:
                kill_often(server, kills // 2)
        finally:
            over.set()
    ends = sum((work.result() for work in working), Counter[str]())
    assert set(ends) <= {"tokens", "code_reused", ""}
    # It is the database that ends what a killed server has begun: the retry may have read the code unused by then, and
    # nobody holds what was issued. It is never used, and expires.
    assert ends[""] <= sum(server.log().count("redeemed by another request just now") for server in site.servers)
    broken = [each for each in log.exchanges if each.is_sent and each.answer is None and each.path == "/token"]
    kinds = Counter(each.sent["grant_type"] for each in broken)
    assert min(kinds["authorization_code"], kinds["refresh_token"]) > kills / 10
    for client in clients:
        go_on(client)


def kill_often(server: Server, times: int) -> None:
    # Whoever lost an answer of the other one asks here, once.
    time.sleep(SETTLING)
    for _ in range(times):
        time.sleep(chance.uniform(0, PAUSE))
        if chance.random() < 0.5:
            wait_for_commit(server)
        server.kill()
        server.start()


def wait_for_commit(server: Server) -> None:
    """Return when the server has just kept something and has not answered yet: the worst moment of all."""
    begun = server.log_size
    deadline = time.monotonic() + 10
    while not any(line in server.log(begun) for line in COMMITS):
        assert time.monotonic() < deadline, "no client came for 10 seconds"
        time.sleep(0.0002)


def live(client: McpClient, over: threading.Event) -> Counter[str]:
    """Log in and refresh until it is over. Returns how the codes ended."""
    ends = Counter[str]()
    while not over.is_set():
        client.be_approved()
        if client.log_in(chance.choice(client.site.servers)):
            ends["tokens"] += 1
            stay_connected(client)
        else:
            # It was used, and the answer died with the server: the retry has ended what nobody holds.
            (row,) = client.site.backstage.ask("connections_of", client.connection)
            assert row["generation"] == 1
            ends[row["revoked"]] += 1
    return ends


def go_on(client: McpClient) -> None:
    """Log in and refresh, and nothing needs a retry any more."""
    client.tries = 1
    client.be_approved()
    assert client.log_in(chance.choice(client.site.servers))
    stay_connected(client)


def stay_connected(client: McpClient) -> None:
    for _ in range(REFRESHES):
        client.renew(chance.choice(client.site.servers))
    assert client.call(chance.choice(client.site.servers)) == 200
