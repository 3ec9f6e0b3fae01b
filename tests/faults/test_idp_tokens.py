"""Tools on two processes ask for the same user's tokens of the identity provider, which have expired."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.altered import altered
from tests.faults.clients import McpClient, register
from tests.faults.exchanges import Log
from tests.faults.site import Site
from tests.idp import Grant, Idp
from tests.idp_server import running_idp

CALLS = 50
USER = "carol"


@pytest.fixture(scope="module")
def idp() -> Iterator[Idp]:
    """A provider that takes a second for a refresh, and takes no refresh token twice."""
    with running_idp(users={USER: {"name": "Carol"}}, rotates=True, delays={"token": 1}) as idp:
        yield idp


@pytest.fixture(scope="module")
def with_provider(running: Site, idp: Idp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    upstream = {f"OIDC_{name}": value for name, value in idp.upstream.items()}
    directory = tmp_path_factory.mktemp("provider")
    with altered(running, directory, ALTERED_URLS="tests.faults.tool_urls", **upstream) as site:
        yield site


@pytest.fixture
def site(with_provider: Site) -> Site:
    """The site, with servers whose users log in at the provider."""
    with_provider.start()
    return with_provider


@pytest.mark.requirement("idp-tokens-across-processes")
def test_many_calls_at_once_make_one_refresh_and_all_succeed(site: Site, log: Log, idp: Idp) -> None:
    idp.requests.clear()
    idp.refresh_tokens["first"] = Grant(USER, {"nonce": "of the login"}, "session")
    site.backstage.ask("keep_expired_login", USER, idp.issuer, "first")
    client = McpClient(site, log, register(site, log), user=USER)
    client.be_approved()
    assert client.log_in(site.servers[0])
    sent = [client.send_call(site.servers[number % 2]) for number in range(CALLS)]
    answers = [pending.read() for pending in sent]
    assert [answer and (answer.status, answer.document["sub"]) for answer in answers] == [(200, USER)] * CALLS
    assert idp.requests["token"] == 1
    assert site.backstage.ask("idp_refresh_token", USER) in idp.refresh_tokens
