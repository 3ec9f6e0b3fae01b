"""A provider that works, and a browser that has not logged in yet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import LazySettings

from mcp_oidc.upstream.provider import Provider, forget_provider, get_provider
from tests.idp import Idp
from tests.idp_server import running_idp
from tests.upstream.browser import Browser, configure_upstream


@pytest.fixture
def idp(settings: LazySettings) -> Iterator[Idp]:
    """A provider that MCP_OIDC["UPSTREAM"] names."""
    forget_provider()
    settings.ROOT_URLCONF = "tests.upstream.urls"
    with running_idp() as idp:
        configure_upstream(settings, idp.upstream)
        yield idp
    forget_provider()


@pytest.fixture
def browser(idp: Idp, db: None) -> Browser:
    return Browser(idp)


@pytest.fixture
def provider(idp: Idp) -> Provider:
    provider = get_provider()
    assert provider is not None
    return provider
