"""What journeys begin with: a live identity provider and the live sample."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import LazySettings
from pytest_django.live_server_helper import LiveServer

from mcp_oidc.upstream.provider import forget_provider
from sample_project.demo.identity_provider import embedded_identity_provider
from tests.idp_server import running_idp
from tests.journeys.servers import Sample, free_port

# In the home of each sample.
DATABASE = "sample.sqlite3"


@pytest.fixture(scope="session")
def identity_provider() -> Iterator[str]:
    """A real OpenID provider; the value is its issuer. It knows alice and bob."""
    with embedded_identity_provider(free_port()) as issuer:
        yield issuer


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which the sample has its tables and nothing else, to be copied: migrating takes seconds."""
    home = tmp_path_factory.mktemp("migrated")
    sample = _sample(free_port(), {}, home)
    sample.manage("migrate", "--verbosity", "0")
    return home / DATABASE


@pytest.fixture(scope="module")
def sample(identity_provider: str, migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """The sample with a database of its own, migrated and up."""
    client = {"OIDC_ISSUER": identity_provider, "OIDC_CLIENT_ID": "sample", "OIDC_CLIENT_SECRET": "sample-secret"}
    with serving_sample(free_port(), client, copied(migrated, tmp_path_factory.mktemp("sample"))) as sample:
        yield sample


@pytest.fixture(scope="module")
def strict_sample(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """The sample behind the strict provider of `tests.idp`, which asks for client secret, PKCE and redirect URI."""
    port = free_port()
    with running_idp(redirect_uris=(f"http://localhost:{port}/oauth/callback",)) as idp:
        client = {f"OIDC_{name}": value for name, value in idp.upstream.items()}
        with serving_sample(port, client, copied(migrated, tmp_path_factory.mktemp("strict"))) as sample:
            yield sample


@pytest.fixture
def site(live_server: LiveServer, settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of our server, live in this process, with the settings and the clock of the test; it lacks an UPSTREAM.

    Its MCP endpoint has one tool, `profile`, which needs the user's tokens of the identity provider.
    """
    settings.ROOT_URLCONF = "tests.journeys.tool_urls"
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ISSUER": live_server.url, "RESOURCES": {"/mcp": {}}}
    # It writes an answer in two parts, and TCP would hold back the second one for 40 ms.
    monkeypatch.setattr("django.core.servers.basehttp.WSGIRequestHandler.disable_nagle_algorithm", True)
    forget_provider()
    yield str(live_server.url)
    forget_provider()


def copied(database: Path, home: Path) -> Path:
    """`home`, which holds a copy of the database now."""
    shutil.copy(database, home / DATABASE)
    return home


@contextmanager
def serving_sample(port: int, given: dict[str, str], home: Path) -> Iterator[Sample]:
    """The sample with the migrated database in `home`, up. `given` is its environment."""
    sample = _sample(port, given, home)
    sample.start()
    try:
        yield sample
    finally:
        sample.stop()


def _sample(port: int, given: dict[str, str], home: Path) -> Sample:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "sample_project.settings",
        **given,
        "BASE_URL": f"http://localhost:{port}",
        "DATABASE_URL": f"sqlite:///{home / DATABASE}",
        "SESSION_SECRET": "journeys-only-" * 5,
    }
    return Sample(port=port, environment=environment)
