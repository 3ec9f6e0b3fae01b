"""Entra behind `organizations`: every tenant issues in its own name, and only those of TENANTS may log in."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import LazySettings
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from mcp_oidc import presets
from mcp_oidc.checks.contents import faults
from mcp_oidc.conf import app_settings
from mcp_oidc.core.upstream_tokens import keep_tokens, read_tokens
from mcp_oidc.errors import UpstreamLoginRequired
from mcp_oidc.models import AbstractClient, Event, Identity, IdpTokenSet
from mcp_oidc.upstream.provider import get_provider
from mcp_oidc.upstream.refresh import fresh_tokens
from tests.upstream.browser import Browser, authorize_url, configure_upstream
from tests.upstream.presets.conftest import Serve
from tests.upstream.presets.vendors import CLIENT, LOGIN, OURS, THEIRS, VendorIdp, entra, entra_organizations

CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"


@pytest.fixture
def idp() -> VendorIdp:
    return entra_organizations()


@pytest.fixture
def browser(serve: Serve, idp: VendorIdp) -> Browser:
    return serve(idp)


@pytest.mark.requirement("upstream-tenants")
def test_account_of_another_tenant_is_refused_with_a_page_that_says_so(
    browser: Browser, idp: VendorIdp, caplog: pytest.LogCaptureFixture
) -> None:
    _move_to(idp, THEIRS)
    page = _log_in(browser, idp)
    assert page.status_code == 403
    assert "belongs to an organization that may not log in here" in page.content.decode()
    assert f"the ID token failed the check of tid: TENANTS does not hold {THEIRS}" in caplog.text
    event = Event.objects.get(kind="login")
    assert (event.outcome, THEIRS in event.reason) == ("refused", True)
    assert not Identity.objects.exists()
    assert not IdpTokenSet.objects.exists()
    # Nothing more is asked about somebody who may not log in.
    assert idp.requests["userinfo"] == 0


def test_client_is_told_that_an_account_of_another_tenant_is_denied(
    browser: Browser, idp: VendorIdp, public_client: AbstractClient
) -> None:
    _move_to(idp, THEIRS)
    location = browser.client.get(authorize_url(public_client.client_id))["Location"]
    back = browser.come_back(idp.log_in(location, _user(idp)))["Location"]
    answer = parse_qs(urlsplit(browser.client.get(back)["Location"]).query)
    assert (answer["error"], answer["state"]) == (["access_denied"], ["client-state"])


@pytest.mark.requirement("upstream-tenants")
def test_same_subject_of_two_tenants_is_two_people(browser: Browser, idp: VendorIdp, settings: LazySettings) -> None:
    configure_upstream(settings, presets.entra("organizations", tenants=[OURS, THEIRS], **CLIENT))
    _log_in(browser, idp)
    _move_to(idp, THEIRS)
    _log_in(browser, idp)
    issuers = set(Identity.objects.values_list("issuer", flat=True))
    assert issuers == {f"{LOGIN}/{OURS}/v2.0", f"{LOGIN}/{THEIRS}/v2.0"}
    assert Identity.objects.values("user").distinct().count() == 2


def test_wildcard_lets_every_tenant_in(browser: Browser, idp: VendorIdp, settings: LazySettings) -> None:
    configure_upstream(settings, presets.entra("organizations", tenants=["*"], **CLIENT))
    _move_to(idp, THEIRS)
    assert _log_in(browser, idp).status_code == 302
    assert browser.who()["claims"]["tid"] == THEIRS


@pytest.mark.requirement("upstream-tenants")
@pytest.mark.parametrize(
    ("check", "claims"),
    [
        ("iss", {"iss": f"{LOGIN}/{THEIRS}/v2.0"}),
        ("iss", {"iss": "https://evil.example/{tenantid}/v2.0"}),
        ("iss", {"iss": LOGIN + "/{tenantid}/v2.0"}),
        ("iss", {"iss": f"{LOGIN}/organizations/v2.0"}),
        ("iss", {"iss": f"https://sts.windows.net/{OURS}/"}),
        ("iss", {"tid": THEIRS}),
        ("tid", {"tid": None}),
        ("tid", {"tid": ""}),
        ("tid", {"tid": 7}),
        ("tid", {"tid": "{tenantid}"}),
        ("tid", {"tid": f"{OURS}/../{THEIRS}"}),
        ("tid", {"tid": f"{OURS}\n"}),
    ],
)
def test_issuer_has_to_be_that_of_the_tenant_in_the_token(
    browser: Browser, idp: VendorIdp, caplog: pytest.LogCaptureFixture, check: str, claims: dict[str, Any]
) -> None:
    idp.claims = {**idp.claims, **claims}
    with caplog.at_level(logging.WARNING):
        assert _log_in(browser, idp).status_code == 502
    assert f"the ID token failed the check of {check}:" in caplog.text
    assert not Identity.objects.exists()


@pytest.mark.requirement("upstream-tenants")
@pytest.mark.parametrize(
    ("reserved_for", "status"),
    [
        (LOGIN + "/{tenantid}/v2.0", 302),
        (f"{LOGIN}/{OURS}/v2.0", 302),
        (None, 302),
        (f"{LOGIN}/{THEIRS}/v2.0", 502),
        # Keys of personal accounts are in the same set, and must not speak for an organization.
        (f"{LOGIN}/{CONSUMERS}/v2.0", 502),
        ("https://login.microsoftonline.us/{tenantid}/v2.0", 502),
    ],
)
def test_key_that_is_reserved_for_another_issuer_signs_for_nobody_else(
    browser: Browser, idp: VendorIdp, reserved_for: str | None, status: int
) -> None:
    idp.key_members = {**idp.key_members, "issuer": reserved_for}
    assert _log_in(browser, idp).status_code == status


def test_key_of_another_tenant_is_refused_for_a_single_tenant_too(serve: Serve) -> None:
    idp = entra()
    idp.key_members = {**idp.key_members, "issuer": f"{LOGIN}/{THEIRS}/v2.0"}
    assert _log_in(serve(idp), idp).status_code == 502


def test_another_tenant_is_refused_for_a_single_tenant(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    idp = entra()
    idp.key_members = {**idp.key_members, "issuer": None}
    _move_to(idp, THEIRS)
    assert _log_in(serve(idp), idp).status_code == 502
    assert "the ID token failed the check of iss" in caplog.text


@pytest.mark.parametrize("announced", [f"{LOGIN}/organizations/v2.0", f"{LOGIN}/{OURS}/v2.0", "https://evil.example"])
def test_metadata_of_several_tenants_announces_the_pattern_and_nothing_else(
    browser: Browser, idp: VendorIdp, announced: str
) -> None:
    idp.document["issuer"] = announced
    assert browser.client.get("/oauth/login").status_code == 502


@pytest.mark.requirement("upstream-tenants")
def test_tenant_that_is_taken_off_the_list_is_out_at_once(
    browser: Browser, idp: VendorIdp, settings: LazySettings
) -> None:
    _log_in(browser, idp)
    identity = Identity.objects.get()
    assert browser.who()["sub"] == identity.sub
    IdpTokenSet.objects.update(expires_at=None)
    configure_upstream(settings, presets.entra("organizations", tenants=[THEIRS], **CLIENT))
    assert browser.who()["user"] is None
    provider = get_provider()
    assert provider is not None
    assert not provider.is_issuer(identity.issuer)


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        LOGIN,
        f"{LOGIN}/organizations/v2.0",
        LOGIN + "/{tenantid}/v2.0",
        f"{LOGIN}/{THEIRS}/v2.0",
        f"{LOGIN}/{OURS}/v2.0/",
        f"{LOGIN}/{OURS}/v2.0\n",
        f"{LOGIN}/{OURS}/v2x0",
        f"https://loginXmicrosoftonline.com/{OURS}/v2.0",
        f"https://evil.example/{LOGIN}/{OURS}/v2.0",
    ],
)
def test_only_the_issuers_of_the_tenants_are_issuers_of_the_provider(serve: Serve, idp: VendorIdp, issuer: str) -> None:
    serve(idp)
    provider = get_provider()
    assert provider is not None
    assert provider.is_issuer(f"{LOGIN}/{OURS}/v2.0")
    assert not provider.is_issuer(issuer)


@pytest.mark.parametrize(("tenant", "status"), [(OURS, 302), (THEIRS, 502)])
def test_iss_of_the_answer_has_to_be_that_of_a_tenant(
    browser: Browser, idp: VendorIdp, tenant: str, status: int
) -> None:
    idp.answer = {"iss": f"{LOGIN}/{tenant}/v2.0"}
    assert _log_in(browser, idp).status_code == status


@pytest.mark.parametrize(("tenant", "status"), [(OURS, 302), (THEIRS, 502)])
def test_signed_userinfo_is_that_of_the_tenant_of_the_id_token(
    browser: Browser, idp: VendorIdp, tenant: str, status: int
) -> None:
    idp.signs_userinfo, idp.userinfo = True, {"iss": f"{LOGIN}/{tenant}/v2.0"}
    assert _log_in(browser, idp).status_code == status


def test_access_token_for_another_api_is_no_reason_to_refuse_a_login(serve: Serve) -> None:
    idp = entra()
    idp.preset = presets.entra(OURS, scopes=["api://acme-tools/notes.read"], **CLIENT)
    idp.further_scopes = ("api://acme-tools/notes.read",)
    idp.faults = {"userinfo": 401}
    assert _log_in(serve(idp), idp).status_code == 302
    assert Identity.objects.get().claims["name"] == "Alice Adams"


@pytest.mark.django_db(transaction=True)
def test_refresh_token_of_a_tenant_is_not_used_once_it_is_off_the_list(
    browser: Browser, idp: VendorIdp, settings: LazySettings
) -> None:
    _log_in(browser, idp)
    identity = Identity.objects.get()
    keep_tokens(identity, replace(read_tokens(identity.pk).tokens, expires_at=timezone.now() - timedelta(seconds=1)))
    configure_upstream(settings, presets.entra("organizations", tenants=[THEIRS], **CLIENT))
    with pytest.raises(UpstreamLoginRequired):
        fresh_tokens(identity.pk)
    assert [form["grant_type"] for form in idp.forms] == ["authorization_code"]


@pytest.mark.requirement("upstream-tenants")
@pytest.mark.parametrize("issuer", ["organizations", "common"])
@pytest.mark.parametrize("tenants", [None, [], ["*", OURS], ["acme.onmicrosoft.com"], [OURS.upper() + "A"], [""]])
def test_issuer_of_several_tenants_without_a_list_of_them_is_refused(
    settings: LazySettings, issuer: str, tenants: list[str] | None
) -> None:
    upstream = {
        "ISSUER": f"{LOGIN}/{issuer}/v2.0",
        "CLIENT_ID": "x",
        **({} if tenants is None else {"TENANTS": tenants}),
    }
    configure_upstream(settings, upstream)
    with pytest.raises(ImproperlyConfigured, match="TENANTS"):
        _ = app_settings.UPSTREAM
    assert [fault for fault in faults("UPSTREAM") if "TENANTS" in fault]


def test_list_of_tenants_beside_the_issuer_of_one_is_refused(settings: LazySettings) -> None:
    upstream = {"ISSUER": f"{LOGIN}/{OURS}/v2.0", "CLIENT_ID": "x", "TENANTS": [OURS]}
    configure_upstream(settings, upstream)
    with pytest.raises(ImproperlyConfigured, match="ISSUER is that of one tenant"):
        _ = app_settings.UPSTREAM


def _move_to(idp: VendorIdp, tenant: str) -> None:
    """Issue for the same user in another tenant."""
    for user in idp.users.values():
        user["tid"] = tenant
    idp.claims = {**idp.claims, "iss": f"{LOGIN}/{tenant}/v2.0"}


def _user(idp: VendorIdp) -> str:
    return next(iter(idp.users))


def _log_in(browser: Browser, idp: VendorIdp) -> Any:
    return browser.log_in(_user(idp))
