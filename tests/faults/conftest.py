"""What tests with faults begin with: a site on each database in turn, and a log whose invariants hold afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.clients import McpClient, register
from tests.faults.exchanges import Log
from tests.faults.invariants import check
from tests.faults.site import Site, running_site
from tests.models.databases import KINDS

# The ordinary suite has time for one of them.
_KINDS = [pytest.param(kind, marks=() if kind == "sqlite" else pytest.mark.long) for kind in KINDS]


@pytest.fixture(scope="session", params=_KINDS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site of each kind for all tests; one whose database does not answer is skipped by name."""
    with running_site(request.param, tmp_path_factory.mktemp(request.param)) as site:
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    """The site, with both servers up."""
    running.start()
    return running


@pytest.fixture
def log(site: Site) -> Iterator[Log]:
    """What clients sent and were answered. The invariants are checked when the test is over."""
    begun = [server.log_size for server in site.servers]
    log = Log()
    yield log
    site.start()
    check(site, log, "".join(server.log(since) for server, since in zip(site.servers, begun, strict=True)))


@pytest.fixture
def client(site: Site, log: Log) -> McpClient:
    """A public client with a code that it has not redeemed."""
    client = McpClient(site, log, register(site, log))
    client.be_approved()
    return client
