"""The key that signs is replaced while clients refresh and call, and none of them notices: FAULTS.md 18."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from mcp_oidc.resource import remote_keys
from mcp_oidc.resource.remote import RemoteVerifier
from tests.faults.altered import altered
from tests.faults.chance import chance
from tests.faults.clients import McpClient, register
from tests.faults.exchanges import Answer, Exchange, Log, get
from tests.faults.site import Site
from tests.faults.waiting import wait_until

CLIENTS = 4
REFRESHES = 3
# Seconds between a key's publication and its first signature: more than processes go on with the keys that they know,
# see `quick_keys`.
LEAD = 10
# How old keys are made, in seconds: no token of the old one lives any more, and nobody needs it.
HOURS, DAYS = 2 * 60 * 60, 2 * 24 * 60 * 60


@pytest.fixture(scope="module")
def quick(running: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with altered(running, tmp_path_factory.mktemp("quick")) as site:
        yield site


@pytest.fixture
def site(quick: Site) -> Site:
    """The site, with servers that read the keys again every second."""
    quick.start()
    return quick


class Verifier:
    """A resource server elsewhere, and how often it fetched the keys."""

    def __init__(self, site: Site, log: Log) -> None:
        self.fetches = 0
        self._site = site
        self._log = log
        self._verifier = RemoteVerifier(site.issuer, site.resource, http=self._fetch)

    def verify(self, client: McpClient) -> None:
        """Take the client's access token. Raises `InvalidToken`."""
        self._verifier.verify(client.tokens["access_token"])

    def _fetch(self, url: str) -> bytes:
        path = url.removeprefix(self._site.issuer)
        self.fetches += path == "/jwks"
        answer = get(self._log, chance.choice(self._site.servers), path).read()
        assert answer is not None
        assert answer.status == 200
        return answer.body


@pytest.mark.long
@pytest.mark.requirement("keys-rotated-under-load")
def test_rotation_costs_no_client_anything(
    site: Site, log: Log, client: McpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if every verifier had fetched the keys half a minute ago.
    monkeypatch.setattr(remote_keys, "UNKNOWN_KEY_COOLDOWN", 0)
    assert client.log_in(site.servers[0])
    known = published(site, log)
    early = Verifier(site, log)
    early.verify(client)
    with load(site, log) as clients:
        site.backstage.ask("manage", "mcp_oidc_rotate_keys", "--lead", str(LEAD))
        wait_until(lambda: published(site, log) != known)
        [new] = published(site, log) - known
        late = Verifier(site, log)
        late.verify(client)
        wait_until(lambda: all(kid_of(each) == new for each in clients))
        assert_published_before_it_signed(site, log, new)
        for each in clients:
            early.verify(each)
            late.verify(each)
        assert (early.fetches, late.fetches) == (2, 1)
        assert_old_key_is_kept_until_nobody_needs_it(site, log, client)
    assert [client.call(server) for server in site.servers] == [401, 401]
    # What a client holds for weeks does not depend on keys that sign.
    client.renew(site.servers[0])
    assert [client.call(server) for server in site.servers] == [200, 200]


def assert_published_before_it_signed(site: Site, log: Log, kid: str) -> None:
    """Every server published the key before any of them issued a token with it."""
    signed = min(each.ended for each in log.issued if kid_in(each) == kid)
    for server in site.servers:
        asked = [each for each in log.exchanges if (each.server, each.path) == (server.name, "/jwks")]
        assert max(each.started for each in asked if each.answer and kid not in kids_of(each.answer)) < signed
        assert min(each.ended for each in asked if each.answer and kid in kids_of(each.answer)) < signed


def assert_old_key_is_kept_until_nobody_needs_it(site: Site, log: Log, client: McpClient) -> None:
    old, known = kid_of(client), published(site, log)
    for age in (0, HOURS):
        site.backstage.ask("age_keys", age)
        clean_up(site, log)
        assert [client.call(server) for server in site.servers] == [200, 200]
        assert published(site, log) == known
    site.backstage.ask("age_keys", DAYS)
    clean_up(site, log)
    assert old not in published(site, log)


def clean_up(site: Site, log: Log) -> None:
    site.backstage.ask("manage", "mcp_oidc_cleanup")
    for server in site.servers:
        # Whoever asks for its health makes a process read the keys at once.
        answer = get(log, server, "/health").read()
        assert answer is not None
        assert answer.status == 200


@contextmanager
def load(site: Site, log: Log) -> Iterator[list[McpClient]]:
    """Clients that work until the block ends."""
    registration = register(site, log)
    clients = [McpClient(site, log, registration, user=f"user{n}") for n in range(CLIENTS)]
    for client in clients:
        client.be_approved()
        assert client.log_in(chance.choice(site.servers))
    over = threading.Event()
    with ThreadPoolExecutor(CLIENTS) as pool:
        working = [pool.submit(work, client, over) for client in clients]
        try:
            yield clients
        finally:
            over.set()
    for each in working:
        each.result()


def work(client: McpClient, over: threading.Event) -> None:
    """Refresh and call until it is over, and log in once in a while."""
    while not over.is_set():
        for _ in range(REFRESHES):
            client.renew(chance.choice(client.site.servers))
            assert client.call(chance.choice(client.site.servers)) == 200
        client.be_approved()
        assert client.log_in(chance.choice(client.site.servers))


def published(site: Site, log: Log) -> frozenset[str]:
    """The ids of the keys that both servers publish, once they agree."""
    kids: list[frozenset[str]] = []

    def agree() -> bool:
        kids[:] = [kids_of(get(log, server, "/jwks").read()) for server in site.servers]
        return kids[0] == kids[1]

    wait_until(agree)
    return kids[0]


def kids_of(jwks: Answer | None) -> frozenset[str]:
    assert jwks is not None
    return frozenset(key["kid"] for key in jwks.document["keys"])


def kid_in(issued: Exchange) -> str:
    assert issued.answer is not None
    return _kid(issued.answer.document["access_token"])


def kid_of(client: McpClient) -> str:
    return _kid(client.tokens["access_token"])


def _kid(access_token: str) -> str:
    header: dict[str, str] = json.loads(base64.urlsafe_b64decode(access_token.split(".")[0] + "=="))
    return header["kid"]
