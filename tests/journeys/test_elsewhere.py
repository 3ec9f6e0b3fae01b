"""The examples of docs/protect/elsewhere.md in a process of their own, without Django, and the official client."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from sample_project.demo.browser import DemoBrowser
from sample_project.demo.processes import running
from tests.journeys.conftest import copied, serving_sample
from tests.journeys.mcp_users import McpUser
from tests.journeys.servers import Sample, free_port
from tests.resource.doc_pages import blocks_of

pytestmark = pytest.mark.long

# Any import of it fails.
NO_DJANGO = "import sys\nsys.modules['django'] = None\n"
ADD_SERVER = """
import json
from tests.factories import add_resource_server
added = add_resource_server({resource!r}, exchanges=True)
print(json.dumps({{"CLIENT_ID": added.client.client_id, "CLIENT_SECRET": added.secret}}))
"""


@dataclass(frozen=True)
class Elsewhere:
    """A sample, and the environment of a resource server that it knows."""

    sample: Sample
    port: int
    environment: dict[str, str]

    @property
    def mcp_url(self) -> str:
        return self.environment["RESOURCE"]

    @contextmanager
    def running(self, block: int, home: Path) -> Iterator[None]:
        """The example, until the block ends."""
        (home / "tools.py").write_text(NO_DJANGO + blocks_of("protect/elsewhere.md")[block])
        command = [sys.executable, "-m", "uvicorn", "--app-dir", str(home), "tools:app", "--port", str(self.port)]
        with running([*command, "--log-level", "warning"], port=self.port, environment=self.environment):
            yield


@pytest.fixture(scope="module")
def elsewhere(identity_provider: str, migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    port = free_port()
    resource = f"http://localhost:{port}/mcp"
    environment = {
        "OIDC_ISSUER": identity_provider,
        "OIDC_CLIENT_ID": "sample",
        "OIDC_CLIENT_SECRET": "sample-secret",
        "ELSEWHERE_RESOURCE": resource,
        "DJANGO_SETTINGS_MODULE": "tests.journeys.elsewhere_settings",
    }
    with serving_sample(free_port(), environment, copied(migrated, tmp_path_factory.mktemp("issuer"))) as sample:
        added = json.loads(sample.manage("shell", "--verbosity", "0", "-c", ADD_SERVER.format(resource=resource)))
        userinfo = requests.get(f"{identity_provider}/.well-known/openid-configuration").json()["userinfo_endpoint"]
        yield Elsewhere(sample, port, {**added, "ISSUER": sample.url, "RESOURCE": resource, "USERINFO": userinfo})


@pytest.mark.requirement("remote-journey")
def test_fastmcp_elsewhere_is_found_logged_in_at_and_calls_the_provider_as_the_user(
    elsewhere: Elsewhere, tmp_path: Path
) -> None:
    with elsewhere.running(0, tmp_path):
        alice = McpUser(elsewhere.mcp_url, DemoBrowser("alice"))
        assert asyncio.run(alice.call("profile"))["email"] == "alice@example.com"
        assert alice.requests[0] == "POST /mcp 401"
        assert "GET /.well-known/oauth-protected-resource/mcp 200" in alice.requests
        assert alice.asked("/authorize") == 1

        alice.forget_requests()
        assert asyncio.run(alice.call("publish")) == {"result": "Published."}
        assert "POST /mcp 403" in alice.requests
        assert alice.storage.tokens is not None
        assert set((alice.storage.tokens.scope or "").split()) == {"mcp", "notes:write"}

        bob = McpUser(elsewhere.mcp_url, DemoBrowser("bob"))
        assert asyncio.run(bob.call("profile"))["email"] == "bob@example.com"
        assert asyncio.run(bob.call("whoami")) != asyncio.run(alice.call("whoami"))


def test_server_of_the_mcp_sdk_elsewhere_knows_who_calls_and_takes_no_token_of_another_resource(
    elsewhere: Elsewhere, tmp_path: Path
) -> None:
    with elsewhere.running(1, tmp_path):
        alice = McpUser(elsewhere.mcp_url, DemoBrowser("alice"))
        assert asyncio.run(alice.call("whoami"))["result"]
        challenge = requests.post(elsewhere.mcp_url, json={}).headers["WWW-Authenticate"]
        metadata = elsewhere.mcp_url.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")
        assert challenge == f'Bearer scope="mcp", resource_metadata="{metadata}"'
        assert requests.get(metadata).json()["resource"] == elsewhere.mcp_url

        at_the_sample = McpUser(elsewhere.sample.mcp_url, DemoBrowser("alice"))
        asyncio.run(at_the_sample.call("whoami"))
        assert at_the_sample.storage.tokens is not None
        headers = {"Authorization": f"Bearer {at_the_sample.storage.tokens.access_token}"}
        assert requests.post(elsewhere.mcp_url, json={}, headers=headers).status_code == 401
