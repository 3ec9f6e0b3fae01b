"""A server is killed between the consent and the redirect, and the form can be sent again: FAULTS.md 4."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.faults.altered import altered
from tests.faults.chance import chance
from tests.faults.clients import McpClient, register
from tests.faults.exchanges import Answer, Log
from tests.faults.middlewares import ANSWER, HELD
from tests.faults.people import Person
from tests.faults.servers import Server
from tests.faults.site import Site
from tests.faults.waiting import wait_until

KILLS = 30


@pytest.fixture(scope="module")
def holdable(running: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with altered(running, tmp_path_factory.mktemp("holdable")) as site:
        yield site


@pytest.fixture
def site(holdable: Site) -> Site:
    """The site, with servers that can be held."""
    holdable.start()
    return holdable


@pytest.fixture
def person(site: Site, log: Log) -> Person:
    return Person(McpClient(site, log, register(site, log)))


@pytest.mark.long
@pytest.mark.requirement("killed-consent")
def test_consent_has_one_code_whenever_its_server_is_killed(site: Site, person: Person) -> None:
    lost, usual = 0, seconds_of_a_consent(person)
    for _ in range(KILLS):
        is_lost = consent_and_kill(person, after=chance.uniform(0, usual))
        lost += is_lost
        # Machines are now slower and now faster, and most kills shall come before the answer.
        usual *= 1.1 if is_lost else 0.8
    assert lost > KILLS / 3


@pytest.mark.long
@pytest.mark.requirement("killed-consent")
@pytest.mark.parametrize("is_sent_again", ["before the kill", "after the kill"])
@pytest.mark.parametrize("moment", ["mcp_oidc_connection", "mcp_oidc_event", ANSWER])
def test_consent_has_one_code_if_its_server_is_killed_at(
    site: Site, person: Person, moment: str, is_sent_again: str
) -> None:
    here, there = site.servers
    before, begun = connection_count(site), here.log_size
    page = ask(person, here)
    pending = person.allow(here, page, hold=moment)
    wait_until(lambda: HELD in here.log(begun))
    # Before its own answer everything is kept, and before that nothing is.
    assert connection_count(site) == before + (moment == ANSWER)
    again = person.allow(there, page) if is_sent_again == "before the kill" else None
    here.kill()
    assert pending.read() is None
    again = again or person.allow(there, page)
    person.take_code(again.read())
    assert connection_count(site) == before + 1
    assert_good_once(person, there)


def seconds_of_a_consent(person: Person) -> float:
    """How long one takes that nothing happens to."""
    here = person.client.site.servers[0]
    page = ask(person, here)
    began = time.monotonic()
    person.take_code(person.allow(here, page).read())
    return time.monotonic() - began


def consent_and_kill(person: Person, *, after: float) -> bool:
    """Kill the server so many seconds after it was sent a consent. Returns whether the answer was lost."""
    site = person.client.site
    here, there = chance.sample(site.servers, 2)
    before = connection_count(site)
    page = ask(person, here)
    pending = person.allow(here, page)
    time.sleep(after)
    here.kill()
    first = pending.read()
    # The form is sent again, or the page loaded again and the button pressed there.
    code = person.take_code(person.allow(there, chance.choice([page, person.open(there)])).read())
    assert first is None or person.take_code(first) == code
    assert connection_count(site) == before + 1
    here.start()
    assert_good_once(person, chance.choice(site.servers))
    return first is None


def ask(person: Person, server: Server) -> Answer:
    """The page that asks for a new consent."""
    person.be_asked()
    return person.open(server)


def assert_good_once(person: Person, server: Server) -> None:
    client = person.client
    assert client.log_in(server)
    second = client.send_code(server).read()
    assert second is not None
    assert second.error == "invalid_grant"
    client.is_revoked()
    assert client.call(server) == 401


def connection_count(site: Site) -> int:
    counts: dict[str, int] = site.backstage.ask("row_counts")
    return counts["mcp_oidc_connection"]
