"""The provider's metadata: whose it is, and which endpoints it may name."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.exceptions import ImproperlyConfigured

from mcp_oidc.errors import UpstreamError
from mcp_oidc.upstream.discovery import fetch_metadata, metadata_by_hand, parse_metadata
from mcp_oidc.upstream.http import HttpClient
from mcp_oidc.upstream.provider import Provider, get_provider
from tests.idp import Idp
from tests.upstream.browser import Browser, configure_upstream
from tests.upstream.wire import listening, make_certificate

ISSUER = "https://idp.example/realm"
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://idp.example/authorize",
    "token_endpoint": "https://idp.example/token",
    "jwks_uri": "https://idp.example/jwks",
}


class OtherProvider(Provider):
    """What a project puts in the place of ours."""


def test_metadata_without_optional_members_is_understood() -> None:
    metadata = parse_metadata(DOCUMENT, ISSUER)
    assert metadata.userinfo_endpoint is None
    assert metadata.end_session_endpoint is None
    assert metadata.auth_methods == ("client_secret_basic",)
    assert metadata.id_token_algorithms == ("RS256",)
    assert not metadata.has_iss_parameter


@pytest.mark.requirement("upstream-issuer")
@pytest.mark.parametrize("issuer", ["https://evil.example", ISSUER + "/", ISSUER.upper(), None, [ISSUER]])
def test_metadata_of_another_issuer_is_refused(issuer: object) -> None:
    with pytest.raises(UpstreamError, match="calls itself"):
        parse_metadata({**DOCUMENT, "issuer": issuer}, ISSUER)


@pytest.mark.requirement("upstream-https")
@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"])
@pytest.mark.parametrize(
    "endpoint",
    ["http://idp.example/x", "ftp://idp.example/x", "https://", "//idp.example/x", "javascript:alert(1)", 7, "x"],
)
def test_endpoint_that_is_not_https_is_refused_by_name(name: str, endpoint: object) -> None:
    with pytest.raises(UpstreamError, match=name):
        parse_metadata({**DOCUMENT, name: endpoint}, ISSUER)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_http_is_taken_on_loopback(host: str) -> None:
    endpoint = f"http://{host}:8080/token"
    assert parse_metadata({**DOCUMENT, "token_endpoint": endpoint}, ISSUER).token_endpoint == endpoint


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_missing_endpoint_is_named(name: str) -> None:
    with pytest.raises(UpstreamError, match=f"lacks {name}"):
        parse_metadata({**DOCUMENT, name: None}, ISSUER)


@pytest.mark.parametrize("value", ["RS256", {"RS256": 1}, [1]])
def test_malformed_list_is_refused(value: Any) -> None:
    with pytest.raises(UpstreamError, match="not a list of strings"):
        parse_metadata({**DOCUMENT, "id_token_signing_alg_values_supported": value}, ISSUER)


@pytest.mark.parametrize("issuer", ["http://idp.example", "ldap://idp.example", "idp.example"])
def test_issuer_that_is_not_https_is_not_even_asked(issuer: str) -> None:
    with pytest.raises(UpstreamError, match="the issuer"):
        fetch_metadata(HttpClient(), issuer)


@pytest.mark.parametrize("slash", ["", "/"])
def test_slash_at_the_end_of_the_issuer_is_its_own_and_not_doubled(idp: Idp, slash: str) -> None:
    idp.metadata = {"issuer": idp.issuer + slash}
    assert fetch_metadata(HttpClient(), idp.issuer + slash).issuer == idp.issuer + slash
    assert idp.requests["discovery"] == 1


def test_issuer_without_a_discovery_document_is_pointed_out(idp: Idp) -> None:
    with pytest.raises(UpstreamError, match="is the issuer the right one"):
        fetch_metadata(HttpClient(), idp.issuer + "/nowhere")


def by_hand(idp: Idp) -> dict[str, Any]:
    """METADATA for `idp`: no more than what a login needs."""
    return {
        "authorization_endpoint": f"{idp.issuer}/authorize",
        "token_endpoint": f"{idp.issuer}/token",
        "jwks_uri": f"{idp.issuer}/jwks",
    }


@pytest.mark.requirement("upstream-metadata")
@pytest.mark.parametrize("names_issuer", [True, False])
def test_metadata_by_hand_is_used_without_discovery(
    browser: Browser, idp: Idp, settings: LazySettings, names_issuer: bool
) -> None:
    metadata = {**by_hand(idp), **({"issuer": idp.issuer} if names_issuer else {})}
    configure_upstream(settings, {**idp.upstream, "METADATA": metadata})
    idp.faults = {"discovery": 500}
    assert browser.log_in().status_code == 302
    assert idp.requests["discovery"] == 0
    assert idp.requests["userinfo"] == 0


@pytest.mark.requirement("upstream-metadata")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"issuer": "https://evil.example"}, "calls itself"),
        ({"token_endpoint": "http://idp.example/token"}, "token_endpoint"),
        ({"jwks_uri": None}, "lacks jwks_uri"),
        ({"token_endpoint_auth_methods_supported": "client_secret_basic"}, "not a list"),
    ],
)
def test_metadata_by_hand_is_checked_as_if_it_were_fetched(
    browser: Browser,
    idp: Idp,
    settings: LazySettings,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, Any],
    reason: str,
) -> None:
    configure_upstream(settings, {**idp.upstream, "METADATA": {**by_hand(idp), **changes}})
    with caplog.at_level(logging.WARNING):
        assert browser.client.get("/oauth/login").status_code == 502
    assert reason in caplog.text
    assert idp.requests["discovery"] == 0


def test_metadata_by_hand_needs_a_secure_issuer_too() -> None:
    with pytest.raises(UpstreamError, match="the issuer"):
        metadata_by_hand({**DOCUMENT, "issuer": "http://idp.example"}, "http://idp.example")


def test_list_by_hand_may_be_a_tuple() -> None:
    metadata = metadata_by_hand({**DOCUMENT, "token_endpoint_auth_methods_supported": ("none",)}, ISSUER)
    assert metadata.auth_methods == ("none",)


def test_settings_of_the_way_to_the_provider_are_used(idp: Idp, settings: LazySettings, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path / "authority.pem")
    with listening() as proxy, listening(certificate) as wire:
        metadata = {**by_hand(idp), "jwks_uri": f"{wire.url}/jwks", "token_endpoint": f"{wire.url}/token"}
        way = {"PROXY": proxy.url, "CA_BUNDLE": certificate, "TIMEOUT": 7, "METADATA": metadata}
        configure_upstream(settings, {**idp.upstream, **way})
        provider = get_provider()
        assert provider is not None
        assert provider.http.timeout == 7
        # The answer is no token set, but it was asked for.
        with pytest.raises(UpstreamError):
            provider.exchange_code("code", redirect_uri="http://testserver/", code_verifier="v")
        assert wire.methods == ["POST"]
        assert proxy.methods == ["CONNECT"]


def test_provider_is_made_once_for_the_same_settings(idp: Idp, settings: LazySettings) -> None:
    first = get_provider()
    assert get_provider() is first
    configure_upstream(settings, {**idp.upstream, "AUTH_PARAMS": {"audience": "x"}})
    assert get_provider() is not first


def test_provider_is_made_anew_after_a_fork(idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    first = get_provider()
    monkeypatch.setattr("os.getpid", lambda: -1)
    child = get_provider()
    assert child is not first
    assert get_provider() is child


def test_there_is_no_provider_without_an_upstream() -> None:
    assert get_provider() is None


def test_making_a_provider_asks_nothing_of_the_network(idp: Idp) -> None:
    get_provider()
    assert not idp.requests


def test_client_class_replaces_ours(idp: Idp, settings: LazySettings) -> None:
    configure_upstream(settings, {**idp.upstream, "CLIENT_CLASS": "tests.upstream.test_discovery.OtherProvider"})
    assert type(get_provider()).__name__ == "OtherProvider"


def test_client_class_that_is_not_there_is_named(idp: Idp, settings: LazySettings) -> None:
    configure_upstream(settings, {**idp.upstream, "CLIENT_CLASS": "nowhere.Provider"})
    with pytest.raises(ImproperlyConfigured, match=r"nowhere\.Provider"):
        get_provider()
