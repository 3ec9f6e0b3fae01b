"""Google: the domain is checked and not only asked for, and a refresh token comes only with a consent."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mcp_oidc import presets
from mcp_oidc.core.upstream_tokens import read_tokens
from mcp_oidc.models import AbstractClient, Event, Identity
from tests.upstream.browser import Browser, authorize_url
from tests.upstream.presets.conftest import Serve
from tests.upstream.presets.vendors import CLIENT, VendorIdp, google


@pytest.fixture
def idp() -> VendorIdp:
    return google()


@pytest.mark.requirement("upstream-hosted-domain")
@pytest.mark.parametrize("hd", ["evil.example", None, "", "acme.example.evil.example", ["acme.example"], True])
def test_account_of_another_domain_is_refused_whatever_its_address(
    serve: Serve, idp: VendorIdp, caplog: pytest.LogCaptureFixture, hd: Any
) -> None:
    idp.claims = {**idp.claims, "hd": hd}
    page = _log_in(serve(idp), idp)
    assert page.status_code == 403
    assert "belongs to an organization that may not log in here" in page.content.decode()
    assert "the ID token failed the check of hd" in caplog.text
    assert "failed the check of hd" in Event.objects.get(kind="login").reason
    assert not Identity.objects.exists()


def test_domain_is_compared_without_regard_to_case(serve: Serve, idp: VendorIdp) -> None:
    idp.preset = presets.google(hosted_domain="Acme.Example", **CLIENT)
    idp.claims = {**idp.claims, "hd": "ACME.example"}
    assert _log_in(serve(idp), idp).status_code == 302


@pytest.mark.parametrize(("hd", "status"), [("any.example", 302), (None, 403), ("", 403)])
def test_any_domain_is_still_a_domain(serve: Serve, idp: VendorIdp, hd: str | None, status: int) -> None:
    idp.preset = presets.google(hosted_domain="*", **CLIENT)
    idp.claims = {**idp.claims, "hd": hd}
    assert _log_in(serve(idp), idp).status_code == status


def test_without_a_domain_every_account_logs_in(serve: Serve, idp: VendorIdp) -> None:
    idp.preset = presets.google(**CLIENT)
    idp.claims = {**idp.claims, "hd": None}
    assert _log_in(serve(idp), idp).status_code == 302


def test_login_that_brings_no_refresh_token_keeps_the_one_of_the_first_consent(serve: Serve, idp: VendorIdp) -> None:
    idp.preset = presets.google(hosted_domain="acme.example", ask_consent=False, **CLIENT)
    browser = serve(idp)
    _log_in(browser, idp)
    first = read_tokens(Identity.objects.get().pk).tokens
    _log_in(browser, idp)
    second = read_tokens(Identity.objects.get().pk).tokens
    assert first.refresh_token is not None
    assert (second.refresh_token, second.access_token != first.access_token) == (first.refresh_token, True)


def test_consent_at_every_login_brings_a_refresh_token_each_time(serve: Serve, idp: VendorIdp) -> None:
    browser = serve(idp)
    tokens = []
    for _ in range(2):
        _log_in(browser, idp)
        tokens.append(read_tokens(Identity.objects.get().pk).tokens.refresh_token)
        idp.refresh_tokens.clear()
    assert None not in tokens
    assert tokens[0] != tokens[1]


@pytest.mark.parametrize(
    ("prompt", "sent"),
    [("login", "select_account consent"), ("select_account", "select_account consent"), ("", "consent")],
)
def test_prompt_that_google_does_not_know_is_not_sent(
    serve: Serve, idp: VendorIdp, public_client: AbstractClient, prompt: str, sent: str
) -> None:
    browser = serve(idp)
    params = {"prompt": prompt} if prompt else {}
    location = browser.client.get(authorize_url(public_client.client_id, **params))["Location"]
    assert parse_qs(urlsplit(location).query)["prompt"] == [sent]
    assert browser.come_back(idp.log_in(location, next(iter(idp.users)))).status_code == 302


def _log_in(browser: Browser, idp: VendorIdp) -> Any:
    return browser.log_in(next(iter(idp.users)))
