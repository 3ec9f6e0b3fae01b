"""Who takes part: a person whose browser is logged in, and the clients that they are asked about."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import LazySettings
from django.contrib.auth.base_user import AbstractBaseUser
from django.test import Client as Browser

from mcp_oidc.core.clients import Registration
from mcp_oidc.models import AbstractClient
from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk
from mcp_oidc.server.client_keys import forget_client_keys
from tests.server.authorizations import approve, redeem
from tests.server.documents import Web


@pytest.fixture
def stranger(db: None) -> Browser:
    """A browser in which nobody is logged in."""
    return Browser(enforce_csrf_checks=True)


@pytest.fixture
def browser(user: AbstractBaseUser, signing_key: SigningJwk) -> Browser:
    """The browser of alice, who is logged in. Forms without a CSRF token are refused, as in production."""
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(user)
    return browser


@pytest.fixture
def code(browser: Browser, public_client: AbstractClient) -> str:
    """What the public client was sent after alice approved it for `openid mcp`."""
    return approve(browser, public_client)["code"]


@pytest.fixture
def confidential_code(browser: Browser, confidential_client: Registration) -> str:
    """The same for the client with a secret."""
    return approve(browser, confidential_client.client)["code"]


@pytest.fixture
def tokens(browser: Browser, public_client: AbstractClient) -> dict[str, str]:
    """What the public client was given after alice approved it for `openid mcp`."""
    return redeem(browser, public_client)


@pytest.fixture
def web(settings: LazySettings) -> Iterator[Web]:
    """A web on which nothing is published yet, read by the server under test."""
    forget_client_keys()
    Web.published, Web.fetched, Web.max_age = {}, [], 300
    settings.OAUTH2_PROVIDER = {"CIMD_METADATA_FETCHER": "tests.server.documents.Web"}
    yield Web()
    forget_client_keys()


@pytest.fixture(scope="session")
def rsa_key() -> SigningJwk:
    """The key of a client that signs with RS256, made once."""
    return generate_jwk("RS256")
