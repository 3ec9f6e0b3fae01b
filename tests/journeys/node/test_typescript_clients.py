"""Journeys of the TypeScript SDKs, as npm has them, against the live sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.node.node_users import NodeUser, params_of
from tests.journeys.servers import Sample

CLIENT, SDK = "typescript_client.mjs", "typescript_sdk.mjs"

pytestmark = pytest.mark.long

NewUser = Callable[..., NodeUser]


@pytest.fixture
def new_user(sample: Sample, node_home: Path, tmp_path: Path) -> NewUser:
    """Makes a user of a driver, with what its client registers."""

    def make(driver: str, **metadata: Any) -> NodeUser:
        return NodeUser(node_home / driver, sample.mcp_url, tmp_path / "kept.json", **metadata)

    return make


@pytest.mark.requirement("clients-typescript-journey")
@pytest.mark.parametrize("driver", [SDK, CLIENT])
@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
def test_client_logs_in_calls_a_tool_and_comes_back_on_its_refresh_token(
    new_user: NewUser, driver: str, method: str
) -> None:
    alice = new_user(driver, token_endpoint_auth_method=method)
    assert alice.call("whoami")["user"] == "alice"
    first = alice.kept
    assert len(alice.opened) == 1

    alice.spoil("tokens", access_token="expired")
    assert alice.call("whoami")["user"] == "alice"
    assert len(alice.opened) == 1
    assert alice.kept["client"] == first["client"]
    assert alice.kept["tokens"]["refresh_token"] != first["tokens"]["refresh_token"]


@pytest.mark.requirement("clients-typescript-journey")
@pytest.mark.parametrize("driver", [SDK, CLIENT])
def test_client_that_names_no_method_is_given_one_that_it_can_use(new_user: NewUser, driver: str) -> None:
    alice = new_user(driver)
    assert alice.call("whoami")["user"] == "alice"


@pytest.mark.requirement("clients-invalid-client")
@pytest.mark.parametrize("driver", [SDK, CLIENT])
def test_client_that_the_server_no_longer_knows_registers_again_by_itself(new_user: NewUser, driver: str) -> None:
    alice = new_user(driver)
    alice.call("whoami")
    alice.spoil("tokens", access_token="expired")
    alice.spoil("client", client_id="deleted-long-ago")
    assert alice.call("whoami")["user"] == "alice"
    assert params_of(alice.opened[-1])["client_id"] == alice.kept["client"]["client_id"] != "deleted-long-ago"


@pytest.mark.requirement("clients-invalid-grant")
@pytest.mark.parametrize("driver", [SDK, CLIENT])
def test_client_whose_refresh_token_is_dead_logs_in_again_and_stays_registered(new_user: NewUser, driver: str) -> None:
    alice = new_user(driver)
    alice.call("whoami")
    client = alice.kept["client"]
    alice.spoil("tokens", access_token="expired", refresh_token="dead")
    assert alice.call("whoami")["user"] == "alice"
    assert len(alice.opened) == 2
    assert alice.kept["client"] == client


@pytest.mark.parametrize("driver", [SDK, CLIENT])
def test_client_moves_to_another_loopback_port_without_registering_anew(new_user: NewUser, driver: str) -> None:
    alice = new_user(driver)
    alice.call("whoami")
    client = alice.kept["client"]
    alice.spoil("tokens", access_token="expired", refresh_token="dead")
    alice.redirect_uri = "http://localhost:50123/callback"
    assert alice.call("whoami")["user"] == "alice"
    assert params_of(alice.opened[-1])["redirect_uri"] == alice.redirect_uri
    assert alice.kept["client"] == client


@pytest.mark.parametrize("driver", [SDK, CLIENT])
def test_cursors_redirect_works(new_user: NewUser, driver: str) -> None:
    alice = new_user(driver, application_type="web")
    alice.redirect_uri = "cursor://anysphere.cursor-mcp/oauth/callback"
    assert alice.call("whoami")["user"] == "alice"


def test_a_tool_that_needs_more_sends_the_client_through_step_up(new_user: NewUser) -> None:
    # Not with the SDK of version 1: it refreshes instead of asking the user, and gives up.
    alice = new_user(CLIENT)
    alice.call("whoami")
    alice.call("add_note", text="from TypeScript")
    assert set(params_of(alice.opened[-1])["scope"].split()) == {"mcp", "notes:write"}
    assert "from TypeScript" in alice.call("list_notes")["result"]
