"""Presets as a settings.py uses them: what they return, and what they refuse in words that help."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings

from mcp_oidc import presets
from mcp_oidc.checks.contents import faults
from mcp_oidc.conf import Upstream, app_settings

SECRET = "a-secret-of-the-idp"
CLIENT: dict[str, Any] = {"client_id": "mcp", "client_secret": SECRET}
TENANT = "11111111-2222-3333-4444-555555555555"
EVERY: dict[str, Callable[..., dict[str, Any]]] = {
    "auth0": lambda **keys: presets.auth0("acme.eu.auth0.com", **{**CLIENT, **keys}),
    "okta": lambda **keys: presets.okta("acme.okta.com", **{**CLIENT, **keys}),
    "keycloak": lambda **keys: presets.keycloak("https://sso.acme.example", "staff", **{**CLIENT, **keys}),
    "entra": lambda **keys: presets.entra(TENANT, **{**CLIENT, **keys}),
    "google": lambda **keys: presets.google(**{**CLIENT, **keys}),
    "clerk": lambda **keys: presets.clerk("clerk.acme.example", **{**CLIENT, **keys}),
    "oidc": lambda **keys: presets.oidc("https://idp.example", **{**CLIENT, **keys}),
}
every_preset = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)


def test_presets_need_no_django() -> None:
    code = "import sys, mcp_oidc.presets; sys.exit(any(name.split('.')[0] == 'django' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@every_preset
def test_preset_passes_the_checks_of_settings(settings: LazySettings, make: Callable[..., dict[str, Any]]) -> None:
    upstream = _read(settings, make())
    assert list(faults("UPSTREAM")) == []
    assert (upstream.client_id, upstream.client_secret) == ("mcp", SECRET)
    assert upstream.scopes[:3] == ("openid", "email", "profile")


@every_preset
def test_further_keys_win_and_parameters_are_added(make: Callable[..., dict[str, Any]]) -> None:
    upstream = make(TIMEOUT=5, NAME="staff", AUTH_PARAMS={"ui_locales": "de"}, scopes=["notes", "openid"])
    assert (upstream["TIMEOUT"], upstream["NAME"]) == (5, "staff")
    assert upstream["AUTH_PARAMS"] == {**make().get("AUTH_PARAMS", {}), "ui_locales": "de"}
    assert upstream["SCOPES"] == [*make()["SCOPES"], "notes"]
    assert make(SCOPES=["openid"])["SCOPES"] == ["openid"]


@every_preset
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"client_id": None}, "client_id is None"),
        ({"client_id": ""}, "is it set at all"),
        ({"client_id": " mcp"}, "client_id is ' mcp'"),
        ({"client_secret": None}, "client_secret is of type NoneType"),
        ({"client_secret": ""}, 'CLIENT_AUTH="none"'),
        ({"timeout": 5}, "'timeout' is no argument of this preset"),
    ],
)
def test_what_is_forgotten_or_mistyped_is_named(
    make: Callable[..., dict[str, Any]], keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        make(**keys)
    assert SECRET not in str(error.value)


@every_preset
@pytest.mark.parametrize("keys", [{"CLIENT_AUTH": "none"}, {"CLIENT_KEY": {"kty": "EC"}}])
def test_client_without_a_secret_has_another_way(make: Callable[..., dict[str, Any]], keys: dict[str, Any]) -> None:
    assert make(client_secret="", **keys)["CLIENT_SECRET"] == ""


@pytest.mark.parametrize(
    ("upstream", "issuer"),
    [
        (presets.auth0("login.acme.example", **CLIENT), "https://login.acme.example/"),
        (presets.okta("acme.okta.com", **CLIENT), "https://acme.okta.com/oauth2/default"),
        (presets.okta("acme.okta.com", authorization_server="aus1A", **CLIENT), "https://acme.okta.com/oauth2/aus1A"),
        (presets.okta("acme.okta.com", authorization_server=None, **CLIENT), "https://acme.okta.com"),
        (presets.keycloak("https://sso.example/", "staff", **CLIENT), "https://sso.example/realms/staff"),
        (presets.keycloak("https://sso.example/auth", "a b/c", **CLIENT), "https://sso.example/auth/realms/a%20b%2Fc"),
        (presets.keycloak("http://localhost:8080", "dev", **CLIENT), "http://localhost:8080/realms/dev"),
        (presets.keycloak("http://[::1]:8080", "dev", **CLIENT), "http://[::1]:8080/realms/dev"),
        (presets.entra(TENANT.upper().replace("1", "A"), **CLIENT), None),
        (
            presets.entra("consumers", **CLIENT),
            "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
        ),
        (
            presets.entra("common", tenants=["*"], authority="https://login.microsoftonline.us/", **CLIENT),
            "https://login.microsoftonline.us/common/v2.0",
        ),
        (presets.google(**CLIENT), "https://accounts.google.com"),
        (presets.clerk("verb-noun-00.clerk.accounts.dev", **CLIENT), "https://verb-noun-00.clerk.accounts.dev"),
        (presets.oidc("https://idp.example/slash/", **CLIENT), "https://idp.example/slash/"),
    ],
)
def test_issuer_is_written_as_the_vendor_writes_it(upstream: dict[str, Any], issuer: str | None) -> None:
    expected = issuer or f"https://login.microsoftonline.com/{TENANT.replace('1', 'a')}/v2.0"
    assert upstream["ISSUER"] == expected


@pytest.mark.parametrize(
    ("upstream", "scopes"),
    [
        (presets.auth0("acme.eu.auth0.com", **CLIENT), {"offline_access"}),
        (presets.okta("acme.okta.com", **CLIENT), {"offline_access"}),
        (presets.okta("acme.okta.com", groups=True, **CLIENT), {"offline_access", "groups"}),
        (presets.keycloak("https://sso.example", "staff", **CLIENT), {"offline_access"}),
        (presets.keycloak("https://sso.example", "staff", offline_access=False, **CLIENT), set()),
        (presets.entra(TENANT, **CLIENT), {"offline_access"}),
        (presets.google(**CLIENT), set()),
        (presets.clerk("clerk.acme.example", **CLIENT), set()),
        (presets.clerk("clerk.acme.example", organizations=True, **CLIENT), {"user:org:read"}),
        (presets.clerk("clerk.acme.example", offline_access=True, **CLIENT), {"offline_access"}),
        (presets.oidc("https://idp.example", **CLIENT), set()),
        (presets.oidc("https://idp.example", offline_access=True, **CLIENT), {"offline_access"}),
    ],
)
def test_scopes_are_those_that_the_vendor_takes(upstream: dict[str, Any], scopes: set[str]) -> None:
    assert set(upstream["SCOPES"]) == {"openid", "email", "profile", *scopes}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: presets.auth0("https://acme.eu.auth0.com/", **CLIENT), "without https:// and path"),
        (lambda: presets.auth0("acme", **CLIENT), "must be a host name"),
        (lambda: presets.auth0("acme.eu.auth0.com\n", **CLIENT), "domain is"),
        (lambda: presets.auth0("evil.example/x@acme.eu.auth0.com", **CLIENT), "must be a host name"),
        (lambda: presets.auth0("acme.eu.auth0.com", audience="", **CLIENT), "audience is ''"),
        (lambda: presets.okta("acme-admin.okta.com", **CLIENT), "must be 'acme.okta.com'"),
        (lambda: presets.okta("acme.okta.com", authorization_server="a/b", **CLIENT), "authorization_server"),
        (lambda: presets.keycloak("https://sso.example/realms/staff", "staff", **CLIENT), "end before /realms/"),
        (lambda: presets.keycloak("sso.example", "staff", **CLIENT), "must be a URL"),
        (lambda: presets.keycloak("http://sso.example", "staff", **CLIENT), "must be a URL such as https"),
        (lambda: presets.keycloak("https://", "staff", **CLIENT), "must be a URL"),
        (lambda: presets.keycloak("https://a@sso.example", "staff", **CLIENT), "must be a URL"),
        (lambda: presets.keycloak("https://sso.example?x=1", "staff", **CLIENT), "must be a URL"),
        (lambda: presets.keycloak("https://sso.example", "", **CLIENT), "realm is ''"),
        (lambda: presets.entra("acme.onmicrosoft.com", **CLIENT), "do not name a tenant by its domain"),
        (lambda: presets.entra("organizations", **CLIENT), "must list the ids of the tenants"),
        (lambda: presets.entra("common", tenants=["*", TENANT], **CLIENT), "must list the ids of the tenants"),
        (lambda: presets.entra("common", tenants=["acme.com"], **CLIENT), "must list the ids of the tenants"),
        (lambda: presets.entra(TENANT, tenants=[TENANT], **CLIENT), "only goes with organizations or common"),
        (lambda: presets.entra(TENANT, AUTH_PARAMS={"resource": "x"}, **CLIENT), "Entra refuses"),
        (lambda: presets.google(hosted_domain="", **CLIENT), "hosted_domain is ''"),
        (lambda: presets.google(hosted_domain="@acme.example", **CLIENT), "must be a host name"),
        (lambda: presets.clerk("https://clerk.acme.example", **CLIENT), "without https://"),
        (lambda: presets.oidc("https://idp.example/.well-known/openid-configuration", **CLIENT), "end before"),
        (lambda: presets.oidc("idp.example", **CLIENT), "issuer is 'idp.example'"),
    ],
)
def test_wrong_input_is_refused_in_words_that_name_it(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_one_tenant_may_be_given_as_text() -> None:
    assert presets.entra("organizations", tenants=TENANT, **CLIENT)["TENANTS"] == [TENANT]


@pytest.mark.parametrize(
    ("keys", "method"),
    [({}, "client_secret_post"), ({"CLIENT_KEY": {"kty": "EC"}}, "private_key_jwt"), ({"CLIENT_AUTH": "none"}, "none")],
)
def test_auth0_authenticates_as_its_applications_begin(keys: dict[str, Any], method: str) -> None:
    assert presets.auth0("acme.eu.auth0.com", **CLIENT, **keys)["CLIENT_AUTH"] == method


def _read(settings: LazySettings, upstream: dict[str, Any]) -> Upstream:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "UPSTREAM": upstream}
    read = app_settings.UPSTREAM
    assert read is not None
    return read
