"""Metrics for Prometheus, at a URL that a secret opens. The sums are those of all processes together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare

from mcp_oidc.conf import app_settings
from mcp_oidc.core.kept_keys import KeyState, kept_keys
from mcp_oidc.core.tallies import totals
from mcp_oidc.errors import BearerError, InvalidRequest, InvalidToken, NotFound
from mcp_oidc.protocol.challenges import bearer_token
from mcp_oidc.server.responses import endpoint, error_response

if TYPE_CHECKING:
    from prometheus_client.core import Metric


@endpoint("GET", "HEAD")
def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics, for whoever holds METRICS_TOKEN. Without that setting there is nothing here."""
    expected = app_settings.METRICS_TOKEN
    if expected is None:
        raise NotFound("No metrics are served here.")
    try:
        _require(bearer_token(request.headers.get("Authorization")), expected)
    except (BearerError, InvalidRequest) as error:
        response: HttpResponse = error_response(error)
        response["WWW-Authenticate"] = "Bearer"
        return response
    return _exposition()


def _require(token: str, expected: str) -> None:
    if not constant_time_compare(token, expected):
        raise InvalidToken("The token is not that of MCP_OIDC['METRICS_TOKEN'].", log="a wrong METRICS_TOKEN")


def _exposition() -> HttpResponse:
    # An optional dependency. A system check tells where it is missing.
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class Ours(Collector):
        def collect(self) -> Iterator[Metric]:
            yield _events()
            yield _signing_key()

    # One for each answer, which a process knows nothing of by itself.
    registry = CollectorRegistry()
    registry.register(Ours())
    return HttpResponse(
        generate_latest(registry), content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"}
    )


def _events() -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily("mcp_oidc_events", "What happened, by kind and outcome.", labels=("kind", "outcome"))
    for (kind, outcome), number in totals().items():
        family.add_metric((kind, outcome), number)
    return family


def _signing_key() -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    name = "mcp_oidc_signing_key_activated_timestamp_seconds"
    family = GaugeMetricFamily(name, "When the key began to sign that signs now. Not there with JWKS.")
    signing = [] if app_settings.JWKS is not None else [key for key in kept_keys() if key.state == KeyState.SIGNING]
    for key in signing:
        family.add_metric((), key.row.activates_at.timestamp())
    return family
