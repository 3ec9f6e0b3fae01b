"""Vendors' hosts, answered on loopback: URLs, discovery and tokens are the real ones, and only the wire is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.conf import LazySettings
from requests.adapters import HTTPAdapter

from mcp_oidc.upstream.provider import forget_provider
from tests.idp_server import serving
from tests.upstream.browser import Browser, configure_upstream
from tests.upstream.presets.vendors import VendorIdp

Serve = Callable[[VendorIdp], Browser]


@pytest.fixture
def serve(settings: LazySettings, monkeypatch: pytest.MonkeyPatch, db: None) -> Iterator[Serve]:
    """Serves a vendor's provider at its own URLs, configures it by its preset, and returns a browser."""
    settings.ROOT_URLCONF = "tests.upstream.presets.urls"
    with ExitStack() as stack:

        def run(idp: VendorIdp) -> Browser:
            _answer_locally(monkeypatch, stack.enter_context(serving(idp, idp.endpoints)))
            forget_provider()
            configure_upstream(settings, idp.upstream)
            return Browser(idp)

        yield run
    forget_provider()


def _answer_locally(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    send = HTTPAdapter.send

    def send_to_loopback(self: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        parts = urlsplit(str(request.url))
        assert parts.scheme == "https", request.url
        request.url = f"{origin}/{parts.netloc}{parts.path}?{parts.query}"
        return send(self, request, *args, **kwargs)

    monkeypatch.setattr(HTTPAdapter, "send", send_to_loopback)
