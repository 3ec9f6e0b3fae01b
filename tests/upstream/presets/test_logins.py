"""A whole login with each preset: what is asked of the vendor's provider, and what comes of its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from mcp_oidc import presets
from mcp_oidc.adapter import Adapter
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.issuing import redeem_code
from mcp_oidc.core.upstream_tokens import keep_tokens, read_tokens
from mcp_oidc.models import AbstractClient, Identity
from mcp_oidc.protocol.jwks import SigningJwk
from mcp_oidc.upstream.provider import get_provider
from mcp_oidc.upstream.refresh import fresh_tokens
from tests.factories import ISSUER, open_for
from tests.upstream.browser import Browser
from tests.upstream.presets import vendors
from tests.upstream.presets.conftest import Serve
from tests.upstream.presets.vendors import LOGIN, OURS, VendorIdp

ENTRA_ISSUER = f"{LOGIN}/{OURS}/v2.0"
OF_TOOLS = ("oid", "tid", "hd", "org_id", "groups", "https://acme.example/roles")


class Membership(Adapter):
    """Keeps what tells whose account it is."""

    def extract_custom_data(self, claims: Mapping[str, Any]) -> dict[str, Any]:
        return {name: claims[name] for name in OF_TOOLS if name in claims}


# The vendor, the issuer of the identity, what the browser is sent with besides, and the custom data.
CASES: list[tuple[Callable[[], VendorIdp], str, dict[str, str], dict[str, Any]]] = [
    (
        vendors.auth0,
        "https://acme.eu.auth0.com/",
        {"scope": "openid email profile offline_access", "audience": "https://api.acme.example"},
        {"https://acme.example/roles": ["editor"]},
    ),
    (
        vendors.okta,
        "https://acme.okta.com/oauth2/default",
        {"scope": "openid email profile offline_access groups"},
        {"groups": ["Everyone", "MCP users"]},
    ),
    (
        vendors.okta_org,
        "https://acme.okta.com",
        {"scope": "openid email profile offline_access groups"},
        {"groups": ["Everyone", "MCP users"]},
    ),
    (
        vendors.keycloak,
        "https://sso.acme.example/realms/staff",
        {"scope": "openid email profile offline_access"},
        {"groups": ["/staff/editors"]},
    ),
    (
        vendors.entra,
        ENTRA_ISSUER,
        {"scope": "openid email profile offline_access"},
        {"oid": "00000000-0000-0000-66f3-3332eca7ea81", "tid": OURS},
    ),
    (
        vendors.entra_organizations,
        ENTRA_ISSUER,
        {"scope": "openid email profile offline_access"},
        {"oid": "00000000-0000-0000-66f3-3332eca7ea81", "tid": OURS},
    ),
    (
        vendors.google,
        "https://accounts.google.com",
        {"scope": "openid email profile", "access_type": "offline", "prompt": "consent", "hd": "acme.example"},
        {"hd": "acme.example"},
    ),
    (
        vendors.clerk,
        "https://clerk.acme.example",
        {"scope": "openid email profile user:org:read"},
        {"org_id": "org_2xyz"},
    ),
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("upstream-presets")
@pytest.mark.parametrize(("make", "issuer", "asked", "custom_data"), CASES, ids=[case[0].__name__ for case in CASES])
def test_preset_logs_in_refreshes_and_hands_custom_data_to_tools(
    serve: Serve,
    settings: LazySettings,
    public_client: AbstractClient,
    signing_key: SigningJwk,
    make: Callable[[], VendorIdp],
    issuer: str,
    asked: dict[str, str],
    custom_data: dict[str, Any],
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": "tests.upstream.presets.test_logins.Membership"}
    idp = make()
    browser = serve(idp)
    identity = _log_in(browser, idp, asked)
    assert (identity.issuer, identity.sub) == (issuer, next(iter(idp.users)))
    assert identity.claims["email"] == "alice@acme.example"
    assert browser.who()["sub"] == identity.sub
    _refresh(idp, identity)
    assert _call_tool(public_client, identity) == custom_data


def test_auth0_takes_our_signature_for_its_issuer(serve: Serve) -> None:
    idp = vendors.auth0()
    idp.preset = presets.auth0("acme.eu.auth0.com", client_id="mcp", CLIENT_KEY={"kty": "EC"})
    serve(idp)
    provider = get_provider()
    assert provider is not None
    assert provider.client_assertion_audience == "https://acme.eu.auth0.com/"


def _log_in(browser: Browser, idp: VendorIdp, asked: dict[str, str]) -> Identity:
    location = browser.begin()
    query = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
    ours = {"response_type", "client_id", "redirect_uri", "state", "nonce", "code_challenge", "code_challenge_method"}
    assert {name: value for name, value in query.items() if name not in ours} == asked
    assert browser.come_back(idp.log_in(location, next(iter(idp.users)))).status_code == 302
    return Identity.objects.select_related("user").get()


def _refresh(idp: VendorIdp, identity: Identity) -> None:
    stored = read_tokens(identity.pk).tokens
    assert stored.refresh_token is not None
    keep_tokens(identity, replace(stored, expires_at=timezone.now() - timedelta(seconds=1)))
    fresh = fresh_tokens(identity.pk)
    assert fresh.access_token != stored.access_token
    assert fresh.access_token in idp.access_tokens
    assert fresh.refresh_token in idp.refresh_tokens
    # The next refresh still knows whom the ID token named.
    assert fresh.id_token is not None


def _call_tool(client: AbstractClient, identity: Identity) -> Any:
    opened = open_for(client, identity, caller=Caller())
    tokens = redeem_code(opened.request, opened.client, issuer=ISSUER, caller=Caller())
    answer = Client().get("/mcp", headers={"Authorization": f"Bearer {tokens.access_token}"})
    assert answer.status_code == 200, answer.content
    return answer.json()
