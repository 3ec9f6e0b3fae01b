"""`/oauth/metrics`: what Prometheus reads, and who may."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from mcp_oidc.core.tallies import count, flush
from mcp_oidc.models import SigningKey
from tests.server.authorizations import json_of

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = "prometheus-" + "t" * 32


@pytest.fixture
def with_token(settings: LazySettings) -> None:
    """The setting that opens the page."""
    settings.MCP_OIDC = {**settings.MCP_OIDC, "METRICS_TOKEN": TOKEN}


def scrape(client: Client, authorization: str = f"Bearer {TOKEN}") -> Any:
    return client.get("/oauth/metrics", headers={"Authorization": authorization})


def samples(client: Client) -> dict[tuple[str, ...], float]:
    response = scrape(client)
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain; version=")
    assert response["Cache-Control"] == "no-store"
    families = text_string_to_metric_families(response.content.decode())
    return {(sample.name, *sample.labels.values()): sample.value for each in families for sample in each.samples}


@pytest.mark.requirement("metrics")
def test_counters_are_the_sums_of_all_processes(client: Client, with_token: None, signing_key: Any) -> None:
    count("login", "allowed", 2)
    flush()
    # As another process would add it.
    count("login", "allowed", 3)
    count("token.refused", "invalid_grant")
    flush()
    found = samples(client)
    assert found["mcp_oidc_events_total", "login", "allowed"] == 5
    assert found["mcp_oidc_events_total", "token.refused", "invalid_grant"] == 1
    activated = SigningKey.objects.get().activates_at.timestamp()
    assert found["mcp_oidc_signing_key_activated_timestamp_seconds",] == pytest.approx(activated)


def test_scrape_takes_two_statements(client: Client, with_token: None, signing_key: Any) -> None:
    count("login", "allowed")
    flush()
    with CaptureQueriesContext(connection) as queries:
        samples(client)
    assert len(queries) == 2


@pytest.mark.requirement("metrics")
@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Basic {TOKEN}", 401),
        (f"Bearer {TOKEN} x", 400),
        ("Bearer ü", 400),
    ],
)
def test_nobody_reads_them_without_the_secret(
    client: Client, with_token: None, authorization: str, status: int
) -> None:
    response = scrape(client, authorization)
    json_of(response, status)
    assert response["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in response.content.decode()


@pytest.mark.requirement("metrics")
def test_there_is_nothing_without_the_setting(client: Client) -> None:
    json_of(scrape(client), 404)
