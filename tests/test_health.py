"""Health: 200 while this process can do its work, else 503."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection, connections
from django.test import Client, override_settings

from mcp_oidc import health
from mcp_oidc.models import SigningKey
from mcp_oidc.protocol.jwks import generate_jwk
from tests.factories import ISSUER

pytestmark = pytest.mark.django_db


def status_of(client: Client) -> tuple[int, str]:
    response = client.get("/health")
    assert response["Cache-Control"] == "no-store"
    assert set(response.json()) == {"status", "database", "keys", "cache"}
    return response.status_code, response.json()["status"]


def parts_of(client: Client) -> dict[str, str]:
    return {name: value for name, value in client.get("/health").json().items() if name != "status"}


def keys_of_the_settings(jwks: str) -> Any:
    return override_settings(MCP_OIDC={"ISSUER": ISSUER, "JWKS": jwks})


@pytest.mark.requirement("health")
def test_server_that_can_work_is_well(client: Client) -> None:
    assert status_of(client) == (200, "ok")


def test_first_key_is_made_by_the_first_look(client: Client) -> None:
    status_of(client)
    status_of(client)
    assert SigningKey.objects.count() == 1


@pytest.mark.requirement("health")
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
@pytest.mark.parametrize("atomic_requests", [True, False])
@pytest.mark.parametrize("has_own_keys", [True, False])
def test_server_without_a_database_is_not(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
    atomic_requests: bool,
    has_own_keys: bool,
) -> None:
    def refuse(*args: object) -> None:
        raise error("no route to host")

    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", atomic_requests)
    # Keys that were read before, or come from the environment, say nothing about the database.
    status_of(client)
    jwks = json.dumps({"keys": [generate_jwk("ES256").private]}) if has_own_keys else ""
    with keys_of_the_settings(jwks), connection.execute_wrapper(refuse):
        assert status_of(client) == (503, "unavailable")
        assert parts_of(client)["database"] == "unavailable"
        assert client.get("/health/live").status_code == 200
    assert status_of(client) == (200, "ok")


@pytest.mark.requirement("health")
def test_server_that_cannot_sign_is_not(client: Client) -> None:
    with keys_of_the_settings('{"keys": []}'):
        assert status_of(client) == (503, "unavailable")
        assert parts_of(client) == {"database": "ok", "keys": "unavailable", "cache": "ok"}


@pytest.mark.requirement("health")
def test_server_that_has_lost_the_secret_of_its_key_is_not(client: Client) -> None:
    status_of(client)
    with override_settings(SECRET_KEY="another secret"):
        assert status_of(client) == (503, "unavailable")


@pytest.mark.requirement("health")
def test_server_without_its_cache_works_on(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(key: str) -> None:
        raise ConnectionError("redis://:secret@cache is gone")

    monkeypatch.setattr(health.cache, "get", refuse)
    assert status_of(client) == (200, "degraded")
    assert parts_of(client) == {"database": "ok", "keys": "ok", "cache": "unavailable"}
    assert "secret" not in client.get("/health").content.decode()


def test_process_that_answers_lives_and_asks_nobody(client: Client, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        response = client.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response["Cache-Control"] == "no-store"


def test_head_is_answered_and_other_methods_are_not(client: Client) -> None:
    for path in ("/health", "/health/live"):
        assert client.head(path).status_code == 200
        assert client.post(path).status_code == 405
