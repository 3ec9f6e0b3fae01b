"""Two processes race for one code or one refresh token: FAULTS.md 15 and 16, and what issue 4 asks of both."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.chance import chance, repeats
from tests.faults.clients import McpClient, register
from tests.faults.dumps import check_dump
from tests.faults.exchanges import Answer, Log, Pending
from tests.faults.servers import Server
from tests.faults.site import Site

CODE_RACES, CODES_AT_ONCE = 50, 8
REFRESH_RACES, REFRESHES_AT_ONCE = 50, 10
MANY_AT_ONCE = 32
# Rounds with lost answers: how many, by how many clients at the same time, and how many requests race in each.
ROUNDS = 1000
CLIENTS = 4
SOME_AT_ONCE = int(os.environ.get("FAULTS_AT_ONCE", "4"))
# Seconds between the requests of such a race, at most: about as long as an answer takes.
DELAY = 0.015

Send = Callable[[Server], Pending]


def race(site: Site, send: Send, count: int) -> list[Answer]:
    """The answers to `count` requests that were all sent before the first answer was read, spread over both servers."""
    sent = [send(site.servers[number % 2]) for number in range(count)]
    answers = [pending.read() for pending in sent]
    assert all(answers)
    return [answer for answer in answers if answer is not None]


def redeem_at_once(site: Site, client: McpClient, count: int) -> None:
    """Let `count` requests race for the client's code, and check all that is guaranteed about it.

    One of them gets tokens. A loser that had read the code unused does no harm; one that came after the winner had
    committed is a second use, and ends what the first one was given.
    """
    before = loser_counts(site)
    answers = race(site, client.send_code, count)
    assert Counter(answer.status for answer in answers) == {200: 1, 400: count - 1}
    assert {answer.error for answer in answers} == {"", "invalid_grant"}
    client.adopt(next(answer for answer in answers if answer.status == 200))
    losers = loser_counts(site) - before
    assert losers.total() == count - 1
    (row,) = site.backstage.ask("connections_of", client.connection)
    assert row == {"generation": 1, "revoked": "code_reused" if losers["used twice"] else ""}
    if row["revoked"]:
        client.is_revoked()
    assert [client.call(server) for server in site.servers] == [401 if row["revoked"] else 200] * 2


def loser_counts(site: Site) -> Counter[str]:
    """How often the servers told each reason for which one who lost the race for a code was refused."""
    log = "".join(server.log() for server in site.servers)
    reasons = ("redeemed by another request just now", "used twice", "connection revoked: code_reused")
    return Counter({reason: log.count(reason) for reason in reasons})


def refresh_at_once(site: Site, client: McpClient, count: int) -> None:
    """Let `count` requests race with the client's refresh token. All get one successor, and the family lives on."""
    answers = race(site, client.send_refresh, count)
    assert {answer.status for answer in answers} == {200}
    assert len({answer.document["refresh_token"] for answer in answers}) == 1
    client.adopt(chance.choice(answers))
    assert [client.call(server) for server in site.servers] == [200, 200]


@pytest.mark.requirement("code-once")
def test_one_code_is_redeemed_once_however_many_try(site: Site, client: McpClient) -> None:
    redeem_at_once(site, client, MANY_AT_ONCE)
    assert_no_trouble(site)


@pytest.mark.requirement("refresh-parallel")
def test_one_refresh_token_has_one_successor_however_many_ask(site: Site, client: McpClient) -> None:
    assert client.log_in(site.servers[0])
    refresh_at_once(site, client, MANY_AT_ONCE)
    client.renew(site.servers[0])
    assert client.call(site.servers[1]) == 200
    assert_no_trouble(site)


@pytest.mark.long
@pytest.mark.requirement("code-once")
def test_codes_are_redeemed_once_race_after_race(site: Site, client: McpClient) -> None:
    for _ in range(CODE_RACES):
        redeem_at_once(site, client, CODES_AT_ONCE)
        client.be_approved()
    assert_no_trouble(site)


@pytest.mark.long
@pytest.mark.requirement("refresh-parallel")
def test_connection_outlives_race_after_race(site: Site, client: McpClient) -> None:
    assert client.log_in(site.servers[0])
    for _ in range(REFRESH_RACES):
        refresh_at_once(site, client, REFRESHES_AT_ONCE)
    (row,) = site.backstage.ask("connections_of", client.connection)
    assert row == {"generation": 1 + REFRESH_RACES, "revoked": ""}
    assert_no_trouble(site)


@pytest.mark.long
@pytest.mark.requirement("lost-answers")
def test_lost_answers_and_races_strand_no_client(site: Site, log: Log) -> None:
    rounds = repeats("ROUNDS", ROUNDS, kind=site.kind)
    registrations = [register(site, log, method=method) for method in ("none", "client_secret_basic")]
    clients = [McpClient(site, log, registrations[n % 2], user=f"user{n}") for n in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda client: go_through_rounds(client, rounds // CLIENTS), clients))
    assert sum(exchange.is_lost for exchange in log.issued) > rounds
    assert_no_trouble(site)
    check_dump(site, log)


def go_through_rounds(client: McpClient, count: int) -> None:
    for _ in range(count):
        lose_answers_about_a_code(client)
        lose_answers_about_a_refresh_token(client)


def lose_answers_about_a_code(client: McpClient) -> None:
    """The client either has its tokens, or is told clearly that it has to ask its user again."""
    client.be_approved()
    received = race_with_losses(client, client.send_code)
    tokens = [answer for answer in received if answer.status == 200]
    if not tokens:
        # Without tokens it asks again, and either the code was never used or it learns that it was.
        pending = client.send_code(any_server(client))
        received.append(read(pending))
    assert {answer.error for answer in received} <= {"", "invalid_grant"}
    for answer in tokens:
        client.adopt(answer)
        if client.call(any_server(client)) == 401:
            (row,) = client.site.backstage.ask("connections_of", client.connection)
            assert row["revoked"] == "code_reused"


def lose_answers_about_a_refresh_token(client: McpClient) -> None:
    """The client goes on, with the token that it had or with any answer that it got."""
    client.be_approved()
    assert client.log_in(any_server(client))
    received = race_with_losses(client, client.send_refresh)
    assert all(answer.status == 200 for answer in received)
    client.renew(any_server(client))
    assert {answer.document["refresh_token"] for answer in received} <= {client.tokens["refresh_token"]}
    client.renew(any_server(client))
    assert client.call(any_server(client)) == 200


def race_with_losses(client: McpClient, send: Send) -> list[Answer]:
    """Send the same a few times, at random moments, and get a random part of the answers."""
    sent = []
    for _ in range(SOME_AT_ONCE):
        sent.append(send(any_server(client)))
        time.sleep(chance.uniform(0, DELAY))
        if chance.random() < 0.3:
            sent.pop().hang_up()
    chance.shuffle(sent)
    losses = chance.randint(0, len(sent))
    for pending in sent[:losses]:
        pending.lose()
    return [read(pending) for pending in sent[losses:]]


def any_server(client: McpClient) -> Server:
    return chance.choice(client.site.servers)


def read(pending: Pending) -> Answer:
    answer = pending.read()
    assert answer is not None, "a server that runs does not answer"
    return answer


def assert_no_trouble(site: Site) -> None:
    """No server has met anything that it did not expect: no deadlock, no lock that was waited for in vain."""
    for server in site.servers:
        assert "Traceback" not in server.log()
