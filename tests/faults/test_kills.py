"""A server is killed at any moment of a token exchange, and nobody notices for long: FAULTS.md 1 and 2."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.faults.chance import chance, repeats
from tests.faults.clients import McpClient, register
from tests.faults.exchanges import Log
from tests.faults.servers import Server
from tests.faults.site import Site
from tests.faults.waiting import wait_until

KILLS = 200
# Kills of servers until enough answers were lost of each kind, at most: which kind a kill hits is chance.
PATIENCE = 10
# As many requests are under way as two processes work off at once, so that most kills hit one of each kind.
CLIENTS = 6
REFRESHES = 4
# Seconds that a server serves between two kills, at most.
PAUSE = 0.1
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
                wait_for_everybody(clients, working)
                kill_often(server, kills // 2)
            for server in site.servers * (PATIENCE // 2):
                if min(broken(log).values()) > kills / 10:
                    break
                wait_for_everybody(clients, working)
                kill_often(server, kills)
        finally:
            over.set()
    ends = sum((work.result() for work in working), Counter[str]())
    assert set(ends) <= {"tokens", "code_reused", ""}
    # It is the database that ends what a killed server has begun: the retry may have read the code unused by then, and
    # nobody holds what was issued. It is never used, and expires.
    assert ends[""] <= sum(server.log().count("redeemed by another request just now") for server in site.servers)
    assert min(broken(log).values()) > kills / 10
    for client in clients:
        go_on(client)


def broken(log: Log) -> dict[str, int]:
    """How many requests for tokens got out and lost their answers, for each grant type."""
    sent = [each.sent for each in list(log.exchanges) if each.is_sent and each.answer is None and each.path == "/token"]
    return {kind: sum(each["grant_type"] == kind for each in sent) for kind in ("authorization_code", "refresh_token")}


def wait_for_everybody(clients: list[McpClient], working: list[Future[Counter[str]]]) -> None:
    """Wait until each client has an answer: whoever lost one at the server that was killed asks at the other, once."""
    before = [client.answers for client in clients]

    def is_served() -> bool:
        for work in working:
            # None of them ends but by what it raises.
            if work.done():
                work.result()
        return all(client.answers > count for client, count in zip(clients, before, strict=True))

    wait_until(is_served)


def kill_often(server: Server, times: int) -> None:
    for _ in range(times):
        time.sleep(chance.uniform(0, PAUSE))
        if chance.random() < 0.5:
            wait_for_commit(server)
        server.kill()
        server.start()


def wait_for_commit(server: Server) -> None:
    """Return when the server has just kept something and has not answered yet: the worst moment of all."""
    begun = server.log_size
    wait_until(lambda: any(line in server.log(begun) for line in COMMITS), pause=0.0002)


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
